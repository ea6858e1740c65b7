/**
 * How old a frame is on this page: the sender's monotonic clock, read from here.
 *
 * Asking the server over the network tells its clock to within half the round trip. The sender's own reading of its wall
 * clock is exact where both machines' wall clocks agree; it is believed when the asking does not contradict it.
 */

import type { Clock } from "./schema";

const PLAUSIBLE_MS = 5000;

interface Asked {
  offsetMs: number;
  uncertaintyMs: number;
}

export class ServerClock {
  // Both: this page's wall clock - the sender's monotonic clock.
  private stated: number | null = null;
  private asked: Asked | null = null;

  /** The sender's reading of its two clocks at one moment. */
  set(clock: Clock): void {
    this.stated = Number(BigInt(clock.wall_ns) - BigInt(clock.monotonic_ns)) / 1e6;
  }

  /** By asking: the sender's clock showed `t` ns at some moment of the `roundTripMs` that end at `wallMs`. */
  answer(t: number, roundTripMs: number, wallMs: number): void {
    this.asked = { offsetMs: wallMs - roundTripMs / 2 - t / 1e6, uncertaintyMs: roundTripMs / 2 + 1 };
  }

  /** -> milliseconds since the sender's clock showed `t` ns; null when that is not known. `wallMs`: this page's clock. */
  age(t: number | bigint, wallMs = performance.timeOrigin + performance.now()): number | null {
    const offset = this.offset();
    if (offset === null) return null;
    const age = wallMs - offset - Number(t) / 1e6;
    return age > -2 && age < PLAUSIBLE_MS ? Math.max(age, 0) : null;
  }

  private offset(): number | null {
    const { stated, asked } = this;
    if (asked === null) return stated;
    return stated !== null && Math.abs(stated - asked.offsetMs) <= asked.uncertaintyMs ? stated : asked.offsetMs;
  }
}
