/**
 * Holds a picture back for a moment when its pose has not come yet, so that the skeleton does not flicker on a busy
 * machine. Nothing is held while no poses come at all, and never longer than `LONGEST_MS`.
 */

const LONGEST_MS = 80;
const FLOWING_MS = 250; // poses that came this lately will go on coming

export class HeldPicture {
  private held: { frame: VideoFrame; rtp: number } | null = null;
  private since = 0;
  private lastPose = -Infinity;
  private timer = 0;

  constructor(private readonly hasPose: (rtp: number) => boolean, private readonly show: (frame: VideoFrame, rtp: number) => void) {}

  /** Shows `frame` now or soon; a picture that was still held is passed over. The caller closes `frame`. */
  take(frame: VideoFrame, rtp: number, now: number): void {
    const waited = this.held === null ? 0 : now - this.since;
    if (this.held === null) this.since = now;
    this.drop();
    if (this.hasPose(rtp) || waited >= LONGEST_MS || now - this.lastPose > FLOWING_MS) {
      this.show(frame, rtp);
      return;
    }
    this.held = { frame: frame.clone(), rtp };
    this.timer = window.setTimeout(() => this.release(), LONGEST_MS - waited);
  }

  /** A pose has come. */
  pose(now: number): void {
    this.lastPose = now;
    if (this.held !== null && this.hasPose(this.held.rtp)) this.release();
  }

  drop(): void {
    clearTimeout(this.timer);
    this.held?.frame.close();
    this.held = null;
  }

  private release(): void {
    if (this.held !== null) this.show(this.held.frame, this.held.rtp);
    this.drop();
  }
}
