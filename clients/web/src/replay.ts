/**
 * Plays a recording. Where it holds video, the video sets the pace and every picture is shown with the pose of the very
 * same capture time; before, after and without it, the page's own clock goes on and there are poses alone.
 *
 * Times are ticks of 90 kHz since the first pose.
 */

import { type Api, type ReplayInfo, Refused } from "./api";
import type { Pose } from "./schema";
import { numberAt, RecordedPoses, sameNumber } from "./recorded_poses";
import { TICKS, Timeline } from "./timeline";
import { copied } from "./whep";

const ROUNDED = 45; // ticks that rounding costs here
const BLURRED = 360; // ticks (4 ms) that a browser blurs its seconds by, against being recognised: less than half a frame
const INTO_FRAME_S = 0.002; // a time on the edge between two pictures could give either
const PAST_S = 30; // of plots before a place that was wound to
const SETTLED_MS = 140;
const LONGEST_TICK_MS = 250;

export interface Screen {
  meta(message: Uint8Array): void;
  /** A moment of the recording; `picture` null: there is none. */
  show(pose: Pose | null, picture: HTMLVideoElement | VideoFrame | null): void;
  /** What came before the place that was wound to. */
  past(poses: Pose[]): void;
  /** The server has gone. */
  lost(): void;
}

export class Replay {
  private readonly timeline = new Timeline();
  private poses: RecordedPoses | null = null;
  private times = new Float64Array();
  private info: ReplayInfo | null = null;
  private position = 0;
  private playing = false;
  private rate = 1;
  private shown = -1;
  private lastTick = 0;
  private pastTimer = 0;
  private asked = 0;
  private wanted: number | null = null; // while the video is still on its way elsewhere

  constructor(private readonly api: Api, private readonly video: HTMLVideoElement, private readonly screen: Screen) {
    video.addEventListener("seeked", () => this.wind());
    // Firefox forgets what was asked for before these.
    for (const name of ["loadeddata", "playing", "seeked"]) video.addEventListener(name, () => this.watch());
    // The video's own error: poses go on without it.
    video.addEventListener("error", () => {
      if (this.info !== null) this.info = { ...this.info, video: null };
    });
  }

  get open(): boolean {
    return this.info !== null;
  }

  /** Shows the recording that the server holds, and begins to play. Raises what the server or the network says. */
  async start(info: ReplayInfo): Promise<void> {
    this.screen.meta(await this.api.bytes("/api/replay/meta"));
    const times = await this.api.bytes("/api/replay/times");
    this.times = new Float64Array(times.slice().buffer);
    this.poses = new RecordedPoses(this.api, this.times.length);
    this.info = info;
    this.shown = -1;
    this.video.autoplay = false; // it begins when the poses get there
    if (info.video !== null) {
      this.video.src = `/api/replay/video.mp4?token=${encodeURIComponent(this.api.token)}`;
      this.watch();
    }
    await this.poses.range(0, 1);
    this.timeline.show(
      { play: (on) => this.play(on), seek: (t) => this.seek(t), step: (n) => this.step(n), speed: (r) => this.pace(r) },
      this.end, this.times.length,
    );
    this.position = 0;
    this.lastTick = performance.now();
    requestAnimationFrame(() => this.tick());
    this.play(true);
  }

  stop(): void {
    this.info = null;
    this.video.removeAttribute("src");
    this.video.load();
    this.timeline.hide();
  }

  private get end(): number {
    return this.times.at(-1) ?? 0;
  }

  /** Whether there is a picture at `t`. */
  private filmed(t: number): boolean {
    const video = this.info?.video ?? null;
    return video !== null && t >= video.offset - ROUNDED && t <= video.offset + video.seconds * TICKS + ROUNDED;
  }

  private play(on: boolean): void {
    if (on && this.position >= this.end) this.seek(0);
    this.playing = on;
    if (!on) this.video.pause();
    this.timeline.set(this.position, on);
  }

  private pace(rate: number): void {
    this.rate = rate;
    this.video.playbackRate = rate;
  }

  private step(frames: number): void {
    this.play(false);
    const number = numberAt(this.times, this.position + ROUNDED) + frames;
    this.seek(this.times[Math.min(Math.max(number, 0), this.times.length - 1)]!);
  }

  private seek(t: number): void {
    this.position = Math.min(Math.max(t, 0), this.end);
    this.shown = -1;
    this.wanted = this.filmed(this.position) ? this.position : null;
    if (this.wanted === null) this.video.pause();
    else this.wind();
    clearTimeout(this.pastTimer);
    this.pastTimer = window.setTimeout(() => void this.remember(), SETTLED_MS);
    this.timeline.set(this.position, this.playing);
  }

  /** Winds the video to where it is wanted, one way at a time. */
  private wind(): void {
    const offset = this.info?.video?.offset;
    if (this.wanted === null || offset === undefined || this.video.seeking) return;
    const at = this.times[numberAt(this.times, this.wanted + ROUNDED)]!;
    this.wanted = null;
    this.video.currentTime = Math.max(at - offset, 0) / TICKS + INTO_FRAME_S;
  }

  /** The plots show what came before the place that was wound to. */
  private async remember(): Promise<void> {
    const last = numberAt(this.times, this.position) + 1;
    const first = numberAt(this.times, this.position - PAST_S * TICKS);
    await this.ask(async (poses) => this.screen.past(await poses.range(first, last)));
  }

  private async ask(work: (poses: RecordedPoses) => Promise<void>): Promise<void> {
    if (this.poses === null || !this.open) return;
    try {
      await work(this.poses);
    } catch (error) {
      if (!this.open) return;
      if (!(error instanceof Refused)) console.info("the recording could not be read:", error);
      this.stop();
      this.screen.lost();
    }
  }

  private tick(): void {
    if (!this.open) return;
    requestAnimationFrame(() => this.tick());
    const now = performance.now();
    const passed = Math.min(now - this.lastTick, LONGEST_TICK_MS);
    this.lastTick = now;
    const filmed = this.filmed(this.position);
    if (this.playing) {
      if (filmed && !this.video.ended) {
        if (this.video.paused) void this.resume();
      } else this.position = Math.min(this.position + ((passed * TICKS) / 1000) * this.rate, this.end);
      if (this.position >= this.end) this.play(false);
    }
    if (!this.filmed(this.position)) this.showAlone();
    this.timeline.set(this.position, this.playing);
  }

  private async resume(): Promise<void> {
    const offset = this.info?.video?.offset ?? 0;
    const at = (this.position - offset) / TICKS;
    if (this.wanted === null && !this.video.seeking && Math.abs(this.video.currentTime - at) > 0.1) this.seek(this.position);
    this.video.playbackRate = this.rate;
    await this.video.play().catch(() => undefined); // paused again meanwhile
  }

  private showAlone(): void {
    const number = numberAt(this.times, this.position);
    if (number === this.shown) return;
    const pose = this.poses?.at(number) ?? null;
    if (pose === null) return void this.ask(async (poses) => void (await poses.range(number, number + 1)));
    this.shown = number;
    this.screen.show(pose, null);
  }

  /** Asks to be called at the next picture. */
  private watch(): void {
    if (!this.open) return;
    this.video.cancelVideoFrameCallback(this.asked);
    this.asked = this.video.requestVideoFrameCallback((_, told) => this.pictured(told));
  }

  private pictured(told: VideoFrameCallbackMetadata): void {
    const video = this.info?.video ?? null;
    if (video === null) return;
    this.watch();
    if (!this.filmed(this.position)) return; // the first picture of a video that begins later
    // A copy knows its own time (in Firefox it does not, and says zero); the callback may be late on a busy machine.
    const frame = copied(this.video);
    const known = frame !== null && frame.timestamp !== 0;
    const t = Math.round((known ? frame.timestamp / 1e6 : told.mediaTime) * TICKS) + video.offset;
    const number = sameNumber(this.times, t, BLURRED);
    const pose = number === null ? null : (this.poses?.at(number) ?? null);
    this.screen.show(pose, frame ?? this.video);
    frame?.close();
    if (this.wanted === null && !this.video.seeking) this.position = Math.min(Math.max(t, 0), this.end);
    if (number === null || pose !== null) return;
    void this.ask(async (poses) => {
      const [late] = await poses.range(number, number + 1);
      const still = copied(this.video);
      if (late !== undefined && still !== null && this.position === t) this.screen.show(late, still);
      still?.close();
    });
  }
}
