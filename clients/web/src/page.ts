/** The page's elements, by id and kind. */

/** Raises when the page has no such element: then page and script do not belong together. */
export function element<T extends HTMLElement>(id: string, kind: abstract new (...args: never[]) => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} "${id}"`);
  return found;
}

/** Wires a button that switches something on and off. */
export function toggle(button: HTMLButtonElement, changed: (on: boolean) => void): void {
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    changed(on);
  });
}
