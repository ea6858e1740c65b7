/** Draws one plot of a coordinate's last seconds: a line and its one-sigma band per side, value axis and limits. */

import type { Entry, Side } from "./coordinates";
import type { History } from "./history";
import { ticks, ValueAxis } from "./plot_scale";

export interface PlotStyle {
  left: string;
  right: string;
  centre: string;
  text: string;
  line: string;
  limit: string;
  font: string;
}

const PADDING = { left: 40, right: 8, top: 8, bottom: 8 };
const MOST_POINTS_PER_PX = 1;
const SMALLEST_SPAN = 20; // degrees or cm: less would show noise as movement
const LONGEST_GAP = 0.5; // s

export class Plot {
  private readonly axis: ValueAxis;
  private readonly context: CanvasRenderingContext2D;
  private onScreen = true;

  constructor(private readonly canvas: HTMLCanvasElement, private readonly entry: Entry) {
    this.axis = new ValueAxis(SMALLEST_SPAN);
    const context = canvas.getContext("2d");
    if (context === null) throw new Error("this browser has no 2D canvas");
    this.context = context;
    new IntersectionObserver((changes) => (this.onScreen = changes.at(-1)!.isIntersecting)).observe(canvas);
  }

  /** Draws `history` from `now - seconds` to `now` (s), for the sides in `shown`. */
  draw(history: History, now: number, seconds: number, shown: ReadonlySet<Side>, style: PlotStyle): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!this.onScreen || width === 0 || height === 0) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const g = this.context;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    const sides = this.entry.sides.filter((side) => shown.has(side.side));
    const start = now - seconds;
    let [low, high] = [Infinity, -Infinity];
    for (const side of sides) {
      const extent = history.extent(side.index, start);
      if (extent === null) continue;
      low = Math.min(low, extent[0] * this.entry.factor);
      high = Math.max(high, extent[1] * this.entry.factor);
    }
    if (low > high) return;
    const step = this.axis.fit(low, high);
    const inner = { w: width - PADDING.left - PADDING.right, h: height - PADDING.top - PADDING.bottom };
    const x = (t: number) => PADDING.left + ((t - start) / seconds) * inner.w;
    const y = (value: number) =>
      PADDING.top + (1 - (value - this.axis.low) / (this.axis.high - this.axis.low)) * inner.h;

    g.font = style.font;
    g.textAlign = "right";
    g.textBaseline = "middle";
    g.lineWidth = 1;
    for (const tick of ticks(this.axis.low, this.axis.high, step)) {
      g.strokeStyle = style.line;
      g.beginPath();
      g.moveTo(PADDING.left, Math.round(y(tick)) + 0.5);
      g.lineTo(width - PADDING.right, Math.round(y(tick)) + 0.5);
      g.stroke();
      g.fillStyle = style.text;
      const shownTick = String(Math.round(tick * 10) / 10).replace("-", "−");
      g.fillText(this.entry.unit === "°" ? `${shownTick}°` : shownTick, PADDING.left - 6, y(tick));
    }
    g.save();
    g.beginPath();
    g.rect(PADDING.left, 0, inner.w, height);
    g.clip();
    this.limits(sides[0]?.range ?? null, width, y, style);
    const stride = Math.max(1, Math.floor((history.length - history.since(start)) / (inner.w * MOST_POINTS_PER_PX)));
    for (const side of sides) {
      const colour = { l: style.left, r: style.right, c: style.centre }[side.side];
      this.band(history, side.index, start, stride, x, y, colour);
      this.curve(history, side.index, start, stride, x, y, colour);
    }
    g.restore();
  }

  private limits(
    range: readonly [number, number] | null, width: number, y: (value: number) => number, style: PlotStyle,
  ): void {
    const g = this.context;
    g.strokeStyle = style.limit;
    g.setLineDash([4, 4]);
    for (const limit of range ?? []) {
      if (limit < this.axis.low || limit > this.axis.high) continue;
      g.beginPath();
      g.moveTo(PADDING.left, y(limit));
      g.lineTo(width, y(limit));
      g.stroke();
    }
    g.setLineDash([]);
  }

  private curve(
    history: History, c: number, start: number, stride: number, x: (t: number) => number, y: (v: number) => number,
    colour: string,
  ): void {
    const g = this.context;
    g.strokeStyle = colour;
    g.lineWidth = 2;
    g.lineJoin = "round";
    g.beginPath();
    let last = -Infinity;
    for (let i = Math.max(history.since(start) - 1, 0); i < history.length; i += stride) {
      const t = history.time(i);
      const point = [x(t), y(history.value(i, c) * this.entry.factor)] as const;
      // Nothing was seen in between: no line across.
      if (t - last > LONGEST_GAP) g.moveTo(...point);
      else g.lineTo(...point);
      last = t;
    }
    g.stroke();
  }

  private band(
    history: History, c: number, start: number, stride: number, x: (t: number) => number, y: (v: number) => number,
    colour: string,
  ): void {
    const g = this.context;
    g.fillStyle = colour;
    g.globalAlpha = 0.13;
    const upper: [number, number][] = [];
    const lower: [number, number][] = [];
    const fill = () => {
      g.beginPath();
      for (const point of [...upper, ...lower.reverse()]) g.lineTo(...point);
      g.fill();
      upper.length = lower.length = 0;
    };
    let last = -Infinity;
    for (let i = Math.max(history.since(start) - 1, 0); i < history.length; i += stride) {
      const [t, value, sigma] = [history.time(i), history.value(i, c), history.sigma(i, c)];
      if (t - last > LONGEST_GAP) fill();
      upper.push([x(t), y((value + sigma) * this.entry.factor)]);
      lower.push([x(t), y((value - sigma) * this.entry.factor)]);
      last = t;
    }
    fill();
    g.globalAlpha = 1;
  }
}

