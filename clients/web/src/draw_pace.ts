/**
 * How often a WebGL view may be drawn: never before the last drawing is done, and so that drawing takes a third of the
 * time at most. Where a processor does the graphics' work, the live picture and the server need the rest.
 */

const SHARE = 3;
const LEAST_MS = 120; // between two drawings by a processor, unless the reader turns the view
const LONGEST_MS = 500;
const AT_ONCE_MS = 20; // done by the next frame of the screen: there is graphics hardware

export class DrawPace {
  private fence: WebGLSync | null = null;
  private began = 0;
  private tookMs = 0;

  /** `slow`: a processor does the graphics' work. */
  constructor(private readonly gl: WebGL2RenderingContext, private readonly slow: boolean) {}

  /** Whether the view may be drawn at time `now` (ms); `hurried`: the reader turns it and wants to see that. */
  ready(now: number, hurried: boolean): boolean {
    if (this.fence !== null) {
      const done = this.gl.getSyncParameter(this.fence, this.gl.SYNC_STATUS) === this.gl.SIGNALED;
      if (!done && now - this.began < LONGEST_MS * SHARE) return false;
      this.gl.deleteSync(this.fence);
      this.fence = null;
      const took = now - this.began;
      this.tookMs = took < AT_ONCE_MS ? 0 : Math.min(took, LONGEST_MS);
    }
    const rest = this.tookMs * (hurried ? 1 : SHARE);
    return now - this.began >= (this.slow && !hurried ? Math.max(rest, LEAST_MS) : rest);
  }

  /** Call with the time at which drawing began, after the last command. */
  drawn(began: number): void {
    if (this.fence !== null) this.gl.deleteSync(this.fence);
    this.began = began;
    this.fence = this.gl.fenceSync(this.gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    this.gl.flush();
  }
}
