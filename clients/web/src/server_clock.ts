/** How old a frame is on this page: the sender's monotonic clock, read from here. */

import type { Clock } from "./schema";

const PLAUSIBLE_MS = 5000;

export class ServerClock {
  private offsetMs: number | null = null; // this page's wall clock - the sender's monotonic clock
  private asked = false;

  /** By the sender's own reading of its clocks: right when page and sender are on one machine. */
  set(clock: Clock): void {
    if (!this.asked) this.offsetMs = Number(BigInt(clock.wall_ns) - BigInt(clock.monotonic_ns)) / 1e6;
  }

  /** By asking: the sender's clock showed `t` ns halfway through the `roundTripMs` that end at `wallMs`. */
  answer(t: number, roundTripMs: number, wallMs = performance.timeOrigin + performance.now()): void {
    this.offsetMs = wallMs - roundTripMs / 2 - t / 1e6;
    this.asked = true;
  }

  /**
   * -> milliseconds since the sender's clock showed `t` ns; null when the clocks are evidently apart.
   * `wallMs` is this page's wall clock.
   */
  age(t: number | bigint, wallMs = performance.timeOrigin + performance.now()): number | null {
    if (this.offsetMs === null) return null;
    const age = wallMs - this.offsetMs - Number(t) / 1e6;
    return age > -2 && age < PLAUSIBLE_MS ? Math.max(age, 0) : null;
  }
}
