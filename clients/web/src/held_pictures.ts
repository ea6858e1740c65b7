/**
 * Holds pictures back until their poses have come: the server sends a picture while its pose is still being worked on.
 * A picture that is older than one that is shown is passed over. Nothing is held while no poses come at all, and never
 * longer than `LONGEST_MS`.
 */

const LONGEST_MS = 150;
const FLOWING_MS = 400; // poses that came this lately will go on coming
const MOST = 6; // frames that the decoder has to do without

/** What `VideoFrame` and `VideoStill` have in common. */
interface Picture<T> {
  clone(): T;
  close(): void;
}

interface Held<T> {
  frame: T;
  rtp: number;
  since: number;
}

export class HeldPictures<T extends Picture<T>> {
  private held: Held<T>[] = []; // the oldest first
  private lastPose = -Infinity;
  private timer = 0;

  constructor(private readonly hasPose: (rtp: number) => boolean, private readonly show: (frame: T, rtp: number) => void) {}

  /** Shows `frame` now or soon. The caller closes `frame`. */
  take(frame: T, rtp: number, now: number): void {
    if (this.hasPose(rtp) || now - this.lastPose > FLOWING_MS) {
      this.drop();
      this.show(frame, rtp);
      return;
    }
    if (this.held.length === MOST) this.held.shift()!.frame.close();
    this.held.push({ frame: frame.clone(), rtp, since: now });
    this.expire(now);
  }

  /** A pose has come. */
  pose(now: number): void {
    this.lastPose = now;
    for (let i = this.held.length - 1; i >= 0; i--)
      if (this.hasPose(this.held[i]!.rtp)) {
        this.release(i);
        break;
      }
    this.expire(now);
  }

  drop(): void {
    clearTimeout(this.timer);
    for (const { frame } of this.held) frame.close();
    this.held = [];
  }

  /** Shows those that have waited for long enough. */
  private expire(now: number): void {
    clearTimeout(this.timer);
    while (this.held.length > 0 && now - this.held[0]!.since >= LONGEST_MS) this.release(0);
    const oldest = this.held[0];
    if (oldest === undefined) return;
    const due = oldest.since + LONGEST_MS;
    this.timer = window.setTimeout(() => this.expire(Math.max(due, performance.now())), due - now);
  }

  /** Shows the `i`-th and passes over those before it. */
  private release(i: number): void {
    const gone = this.held.splice(0, i + 1);
    const { frame, rtp } = gone.at(-1)!;
    this.show(frame, rtp);
    for (const one of gone) one.frame.close();
  }
}
