/** A picture of a video element that can be held while the element goes on: for browsers that give no `VideoFrame`. */

const spare: HTMLCanvasElement[] = [];

export class VideoStill {
  /** `source`: the element itself, until it is cloned. */
  constructor(readonly source: HTMLVideoElement | HTMLCanvasElement) {}

  /** -> a copy of what the element shows now. */
  clone(): VideoStill {
    const canvas = spare.pop() ?? document.createElement("canvas");
    const { source } = this;
    const [width, height] = source instanceof HTMLVideoElement ? [source.videoWidth, source.videoHeight] : [source.width, source.height];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    canvas.getContext("2d", { alpha: false })?.drawImage(source, 0, 0);
    return new VideoStill(canvas);
  }

  /** The copy's memory may be used again. */
  close(): void {
    if (this.source instanceof HTMLCanvasElement) spare.push(this.source);
  }
}
