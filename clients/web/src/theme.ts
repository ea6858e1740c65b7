/** Dark or light: the system's choice until the reader makes another, which this browser remembers. */

import { store, stored } from "./memory";

const KEY = "theme";

export class Theme {
  private readonly system = matchMedia("(prefers-color-scheme: dark)");
  private chosen = stored(KEY);

  constructor(private readonly changed: (dark: boolean) => void) {
    this.system.addEventListener("change", () => this.apply());
    this.apply();
  }

  get dark(): boolean {
    return this.chosen === null ? this.system.matches : this.chosen === "dark";
  }

  toggle(): void {
    this.chosen = this.dark ? "light" : "dark";
    store(KEY, this.chosen);
    this.apply();
  }

  private apply(): void {
    document.documentElement.dataset.theme = this.dark ? "dark" : "light";
    this.changed(this.dark);
  }
}
