/** Switches the body's surface in the 3D view on and off; it is fetched when it is first wanted. */

import type { Api } from "./api";
import { unpackSurface } from "./body_surface";
import type { BodyView } from "./body_view";
import { element } from "./page";

export class SurfaceButton {
  private readonly button = element("surface", HTMLButtonElement);
  private fetched = false;
  private begun = false;

  constructor(private readonly api: Api, private readonly view: BodyView | null, private readonly say: (text: string) => void) {
    this.button.disabled = view === null;
    this.button.addEventListener("click", () => {
      this.begun = true;
      void this.set(this.button.getAttribute("aria-pressed") !== "true");
    });
  }

  /** On at first where there is graphics hardware. */
  begin(): void {
    if (this.begun || this.view === null || this.view.slow) return;
    this.begun = true;
    void this.set(true);
  }

  private async set(on: boolean): Promise<void> {
    if (this.view === null) return;
    this.button.setAttribute("aria-pressed", String(on));
    this.view.layers.surface = on;
    this.view.refresh();
    if (!on || this.fetched) return;
    this.fetched = true;
    try {
      if (this.view.setSurface(unpackSurface(await this.api.bytes("/api/mesh")))) return;
      this.say("The body's surface is not shown: these poses are of another body file.");
    } catch (error) {
      this.fetched = false;
      this.say(`The body's surface is not shown: ${(error as Error).message.replace(/\.+$/, "")}.`);
    }
    this.view.layers.surface = false;
    this.button.setAttribute("aria-pressed", "false");
  }
}
