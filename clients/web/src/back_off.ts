/** How long to wait before the next attempt to reach the server: soon at first, then every few seconds. */

const FIRST_MS = 400;
const LONGEST_MS = 5000;
const GROWTH = 1.7;

export class BackOff {
  private attempts = 0;

  /** `random`: 0 … 1, so that many pages do not come back at the same moment. */
  constructor(private readonly random: () => number = Math.random) {}

  /** -> milliseconds to wait now. */
  next(): number {
    const wait = Math.min(FIRST_MS * GROWTH ** this.attempts, LONGEST_MS);
    this.attempts += 1;
    return wait * (0.8 + 0.4 * this.random());
  }

  reset(): void {
    this.attempts = 0;
  }
}
