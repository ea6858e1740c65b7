/**
 * The joint-angle panel: a searchable list of all coordinates with their values, and a card with a plot for each that is
 * pinned. Left and right of a coordinate share a row and a plot.
 */

import { type Entry, entries, FIRST_PINS, matches, type Side, SIDE_NAMES } from "./coordinates";
import type { History } from "./history";
import { store, stored } from "./memory";
import { element } from "./page";
import { Plot, type PlotStyle } from "./plot";
import type { Meta } from "./schema";

const PINS = "pins";
const VALUES_MS = 200; // between two changes of the numbers: faster cannot be read

interface Row {
  entry: Entry;
  button: HTMLButtonElement;
  cells: { index: number; text: Text; dot: HTMLElement | null; range: readonly [number, number] | null }[];
}

interface Card {
  entry: Entry;
  root: HTMLElement;
  plot: Plot;
  canvas: HTMLCanvasElement;
  shown: Set<Side>;
  values: { index: number; side: Side; now: HTMLElement; high: Text; low: Text }[];
}

export class AnglePanel {
  private entries: Entry[] = [];
  private rows: Row[] = [];
  private cards: Card[] = [];
  private pins: string[];
  private signature = "";
  private seconds = 10;
  private lastValues = 0;
  private style: PlotStyle = styleOf();
  private readonly list = element("list", HTMLElement);
  private readonly holder = element("cards", HTMLElement);

  constructor() {
    const remembered = stored(PINS);
    this.pins = remembered === null ? FIRST_PINS : remembered.split(",").filter((key) => key !== "");
    element("search", HTMLInputElement).addEventListener("input", () => this.filter());
    const seconds = element("seconds", HTMLSelectElement);
    seconds.addEventListener("change", () => (this.seconds = Number(seconds.value)));
  }

  setMeta(meta: Meta): void {
    const signature = meta.coordinate_names.join() + meta.coordinate_units.join();
    if (signature === this.signature) return;
    this.signature = signature;
    this.entries = entries(meta);
    this.buildList();
    this.buildCards();
  }

  themeChanged(): void {
    this.style = styleOf();
  }

  /** Draws the plots up to time `now` (s), and the numbers when it is time. */
  draw(history: History | null, now: number): void {
    if (history === null) return;
    for (const card of this.cards) card.plot.draw(history, now, this.seconds, card.shown, this.style);
    if (performance.now() - this.lastValues < VALUES_MS) return;
    this.lastValues = performance.now();
    const last = history.length - 1;
    if (last < 0) return;
    for (const row of this.rows) {
      if (row.button.hidden) continue;
      for (const cell of row.cells) {
        const value = history.value(last, cell.index) * row.entry.factor;
        cell.text.data = written(value, row.entry);
        if (cell.dot === null || cell.range === null) continue;
        const share = (value - cell.range[0]) / (cell.range[1] - cell.range[0]);
        cell.dot.style.left = `${Math.min(100, Math.max(0, share * 100))}%`;
      }
    }
    for (const card of this.cards) this.numbers(card, history, last, now);
  }

  private numbers(card: Card, history: History, last: number, now: number): void {
    const said: string[] = [];
    for (const value of card.values) {
      const current = written(history.value(last, value.index) * card.entry.factor, card.entry);
      const extent = history.extent(value.index, now - this.seconds);
      value.now.textContent = current;
      if (extent === null) continue;
      const [low, high] = extent.map((end) => written(end * card.entry.factor, card.entry)) as [string, string];
      value.high.data = high;
      value.low.data = low;
      said.push(`${SIDE_NAMES[value.side]} ${current}, from ${low} to ${high}`.trim());
    }
    card.canvas.setAttribute("aria-label", `${card.entry.title} over ${this.seconds} seconds: ${said.join("; ")}`);
  }

  private buildList(): void {
    this.rows = [];
    this.list.replaceChildren();
    let group = "";
    for (const entry of this.entries) {
      if (entry.group !== group) {
        group = entry.group;
        const heading = document.createElement("h3");
        heading.textContent = group;
        heading.dataset.group = group;
        this.list.append(heading);
      }
      const row = this.row(entry);
      this.rows.push(row);
      this.list.append(row.button);
    }
    this.filter();
    this.markPins();
  }

  private row(entry: Entry): Row {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "row";
    button.title = `${entry.sides.map((side) => side.name).join(", ")}: press to pin or unpin`;
    const name = document.createElement("span");
    name.className = "name";
    const pin = document.createElement("i");
    pin.className = "pin";
    const title = document.createElement("span");
    title.textContent = entry.title;
    name.append(pin, title);
    button.append(name);
    const cells = entry.sides.map((side) => {
      const cell = document.createElement("span");
      cell.className = side.side === "c" ? "cell both" : "cell";
      if (entry.sides.length === 1 && side.side === "r") cell.style.gridColumn = "3";
      const text = document.createTextNode("–");
      cell.append(text);
      let dot: HTMLElement | null = null;
      if (side.range !== null) {
        const gauge = document.createElement("span");
        gauge.className = "gauge";
        gauge.dataset.side = side.side;
        dot = document.createElement("i");
        gauge.append(dot);
        cell.append(gauge);
        cell.title = `${side.name}: range ${side.range[0]}° to ${side.range[1]}°`;
      }
      button.append(cell);
      return { index: side.index, text, dot, range: side.range };
    });
    button.addEventListener("click", () => this.togglePin(entry.key));
    return { entry, button, cells };
  }

  private filter(): void {
    const search = element("search", HTMLInputElement).value.trim();
    const groups = new Set<string>();
    for (const row of this.rows) {
      row.button.hidden = search !== "" && !matches(row.entry, search);
      if (!row.button.hidden) groups.add(row.entry.group);
    }
    for (const heading of this.list.querySelectorAll("h3")) heading.hidden = !groups.has(heading.dataset.group ?? "");
  }

  private togglePin(key: string): void {
    this.pins = this.pins.includes(key) ? this.pins.filter((pin) => pin !== key) : [...this.pins, key];
    store(PINS, this.pins.join(","));
    this.buildCards();
    this.markPins();
  }

  private markPins(): void {
    for (const row of this.rows) row.button.setAttribute("aria-pressed", String(this.pins.includes(row.entry.key)));
  }

  private buildCards(): void {
    const kept = new Map(this.cards.map((card) => [card.entry, card]));
    this.cards = this.pins.flatMap((key) => {
      const entry = this.entries.find((one) => one.key === key);
      return entry === undefined ? [] : [kept.get(entry) ?? this.card(entry)];
    });
    this.holder.replaceChildren(...this.cards.map((card) => card.root));
    this.holder.hidden = this.cards.length === 0;
    element("no-cards", HTMLElement).hidden = this.cards.length > 0;
  }

  private card(entry: Entry): Card {
    const root = document.createElement("article");
    root.className = "card";
    const header = document.createElement("header");
    const title = document.createElement("h3");
    title.textContent = entry.title;
    title.title = entry.sides.map((side) => side.name).join(", ");
    const unpin = document.createElement("button");
    unpin.type = "button";
    unpin.textContent = "×";
    unpin.setAttribute("aria-label", `Unpin ${entry.title}`);
    unpin.addEventListener("click", () => this.togglePin(entry.key));
    header.append(title, unpin);
    const values = document.createElement("div");
    values.className = "values";
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", entry.title);
    root.append(header, values, canvas);
    const card: Card = {
      entry, root, canvas, plot: new Plot(canvas, entry), shown: new Set(entry.sides.map((side) => side.side)), values: [],
    };
    for (const side of entry.sides) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "value";
      button.dataset.side = side.side;
      button.setAttribute("aria-pressed", "true");
      const now = document.createElement("b");
      now.textContent = "–";
      const extent = document.createElement("small");
      const [high, low] = [document.createTextNode("–"), document.createTextNode("–")];
      extent.append(word("max "), high, document.createElement("br"), word("min "), low);
      extent.title = "Highest and lowest value in the plot";
      button.append(now, extent);
      const called = SIDE_NAMES[side.side] === "" ? entry.title : `${entry.title}, ${SIDE_NAMES[side.side]}`;
      button.title = `${called}: press to show or hide its line`;
      button.addEventListener("click", () => {
        if (!card.shown.delete(side.side)) card.shown.add(side.side);
        button.setAttribute("aria-pressed", String(card.shown.has(side.side)));
      });
      values.append(button);
      card.values.push({ index: side.index, side: side.side, now, high, low });
    }
    return card;
  }
}

/** -> a word that narrow cards leave out. */
function word(text: string): HTMLElement {
  const span = document.createElement("span");
  span.textContent = text;
  return span;
}

function written(value: number, entry: Entry): string {
  if (!Number.isFinite(value)) return "–";
  const rounded = Math.round(value) + 0;
  return `${rounded < 0 ? `−${-rounded}` : rounded}${entry.unit === "°" ? "°" : " cm"}`;
}

function styleOf(): PlotStyle {
  const css = getComputedStyle(document.documentElement);
  const of = (name: string) => css.getPropertyValue(name).trim();
  return {
    left: of("--left"), right: of("--right"), centre: of("--centre"), text: of("--muted"), line: of("--line"),
    limit: of("--bad"), font: `12px ${of("--font")}`,
  };
}
