/** Latency, rate, dropped frames, and how long each stage takes. */

import { element } from "./page";
import type { Health, Pose } from "./schema";
import { ServerClock } from "./server_clock";

const SHOWN_MS = 500; // between two changes of the numbers
const RATE_MS = 3000;

/** A running mean that follows in about `frames` steps. */
class Mean {
  value: number | null = null;

  constructor(private readonly frames = 20) {}

  add(sample: number): void {
    this.value = this.value === null ? sample : this.value + (sample - this.value) / this.frames;
  }
}

export class PerformancePanel {
  readonly clock = new ServerClock();
  private shown = new Mean();
  private published = new Mean();
  private readonly arrivals: number[] = [];
  private readonly stages = new Map<string, { mean: Mean; item: HTMLElement; time: HTMLElement; bar: HTMLElement }>();
  private health: Health | null = null;
  private dropped = 0;

  constructor() {
    setInterval(() => this.write(), SHOWN_MS);
  }

  reset(): void {
    this.shown = new Mean();
    this.published = new Mean();
    this.arrivals.length = 0;
    this.health = null;
  }

  pose(pose: Pose): void {
    this.arrivals.push(performance.now());
    this.dropped = pose.dropped;
    const took = Number(BigInt(pose.t_publish) - BigInt(pose.t_capture)) / 1e6;
    if (took >= 0) this.published.add(took);
    for (const [name, ms] of Object.entries(pose.stages)) this.stage(name).mean.add(ms);
  }

  picture(t: number | bigint): void {
    const age = this.clock.age(t);
    if (age !== null) this.shown.add(age);
  }

  setHealth(health: Health): void {
    this.health = health;
    // In the order of the pipeline, which health knows and a pose does not.
    for (const stage of health.stages) element("stages", HTMLElement).append(this.stage(stage.name).item);
  }

  /** Frames per second that arrived lately. */
  get fps(): number {
    const since = performance.now() - RATE_MS;
    while (this.arrivals.length > 0 && this.arrivals[0]! < since) this.arrivals.shift();
    const [first, last] = [this.arrivals[0], this.arrivals.at(-1)];
    if (first === undefined || last === undefined || last <= first) return 0;
    return ((this.arrivals.length - 1) * 1000) / (last - first);
  }

  private stage(name: string) {
    let found = this.stages.get(name);
    if (found === undefined) {
      const item = document.createElement("li");
      const time = document.createElement("b");
      const track = document.createElement("span");
      track.className = "track";
      const bar = document.createElement("i");
      track.append(bar);
      item.append(name, time, track);
      element("stages", HTMLElement).append(item);
      found = { mean: new Mean(), item, time, bar };
      this.stages.set(name, found);
    }
    return found;
  }

  private write(): void {
    element("latency", HTMLElement).textContent = milliseconds(this.shown.value);
    element("pose-latency", HTMLElement).textContent = milliseconds(this.published.value);
    const fps = this.fps;
    element("fps", HTMLElement).textContent = fps > 0 ? `${fps.toFixed(fps < 10 ? 1 : 0)} fps` : "–";
    element("dropped", HTMLElement).textContent = String(this.dropped);
    // A stage that takes longer than a frame lasts is what holds the others up.
    const budget = 1000 / Math.max(fps, 15);
    for (const [name, { mean, item, time, bar }] of this.stages) {
      const health = this.health?.stages.find((stage) => stage.name === name);
      const ms = mean.value ?? health?.ms_p50 ?? null;
      const dead = health !== undefined && !health.alive;
      time.textContent = dead ? "restarting" : ms === null ? "–" : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
      const share = ms === null ? 0 : ms / budget;
      bar.style.transform = `scaleX(${Math.min(share, 1)})`;
      item.dataset.load = dead ? "dead" : share > 1 ? "over" : share > 0.75 ? "high" : "fine";
      item.title = health === undefined
        ? name
        : `${name}: ${health.ms_p50.toFixed(1)} ms, 95 % below ${health.ms_p95.toFixed(1)} ms, restarted ${health.restarts} times`;
    }
  }
}

function milliseconds(value: number | null): string {
  return value === null ? "–" : `${Math.round(value)} ms`;
}
