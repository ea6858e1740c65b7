/**
 * The live picture with the skeleton of the same moment drawn into it.
 *
 * Picture and skeleton go onto one canvas in one step, so that no compositor can show one without the other. The last
 * picture is kept, to draw it again when its pose arrives late, when a switch is turned or when the size changes.
 */

import type { Aligned } from "./alignment";
import type { Meta, Person, Pose } from "./schema";
import { confidenceColour, confidences, project, SIDE_COLOURS, type Skeleton, skeletonOf } from "./skeleton";

export interface Layers {
  skeleton: boolean;
  keypoints: boolean;
  confidence: boolean;
  mirrored: boolean;
}

type Source = HTMLVideoElement | VideoFrame | ImageBitmap;

const SURELY_SEEN = 0.5; // keypoint score
const RIM = "rgba(8, 12, 18, 0.85)";
const NO_PICTURE = "#141b24";
export const KEYPOINT_COLOUR = "#5cffc4";

export class PictureView {
  readonly layers: Layers = { skeleton: true, keypoints: true, confidence: false, mirrored: false };
  /** The person whose skeleton is drawn brightly; null: all. */
  chosen: number | null = null;
  private readonly context: CanvasRenderingContext2D;
  private readonly picture = document.createElement("canvas");
  private skeleton: Skeleton | null = null;
  private aligned: Aligned | null = null;
  private hasPicture = false;
  /** Where the picture lies on the canvas: left, top, width, height, px of the canvas. */
  area: [number, number, number, number] = [0, 0, 0, 0];

  constructor(readonly canvas: HTMLCanvasElement) {
    const context = canvas.getContext("2d", { alpha: false });
    if (context === null) throw new Error("this browser has no 2D canvas");
    this.context = context;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  setMeta(meta: Meta): void {
    this.skeleton = skeletonOf(meta);
  }

  /** Shows a new picture with the pose that belongs to it, if it is known. */
  show(source: Source, aligned: Aligned | null): void {
    const [width, height] = sizeOf(source);
    if (width === 0 || height === 0) return;
    if (this.picture.width !== width || this.picture.height !== height) {
      this.picture.width = width;
      this.picture.height = height;
      this.canvas.style.setProperty("--aspect", `${width} / ${height}`);
    }
    this.picture.getContext("2d", { alpha: false })?.drawImage(source, 0, 0);
    this.hasPicture = true;
    this.aligned = aligned;
    this.draw();
  }

  /** Shows a pose without its picture. */
  showAlone(pose: Pose): void {
    const [width, height] = [pose.image[0] || 640, pose.image[1] || 480];
    this.picture.width = width; // which also empties it
    this.picture.height = height;
    const g = this.picture.getContext("2d", { alpha: false });
    if (g !== null) {
      g.fillStyle = NO_PICTURE;
      g.fillRect(0, 0, width, height);
    }
    this.hasPicture = true;
    this.aligned = { pose, exact: true };
    this.draw();
  }

  /** The pose of the picture that is shown came after it. */
  setPose(aligned: Aligned): void {
    this.aligned = aligned;
    this.draw();
  }

  get shown(): Aligned | null {
    return this.aligned;
  }

  draw(): void {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const g = this.context;
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.fillStyle = "#05070a";
    g.fillRect(0, 0, width, height);
    if (!this.hasPicture) return;
    const zoom = Math.min(width / this.picture.width, height / this.picture.height);
    const left = (width - this.picture.width * zoom) / 2;
    const top = (height - this.picture.height * zoom) / 2;
    this.area = [left, top, this.picture.width * zoom, this.picture.height * zoom];
    if (this.layers.mirrored) g.setTransform(-zoom, 0, 0, zoom, width - left, top);
    else g.setTransform(zoom, 0, 0, zoom, left, top);
    g.drawImage(this.picture, 0, 0);
    const pose = this.aligned?.pose;
    if (pose === undefined) return;
    // Poses are in px of the captured frame; the video may have been made smaller for the way.
    g.scale(this.picture.width / (pose.image[0] || 1), this.picture.height / (pose.image[1] || 1));
    for (const person of pose.people) {
      g.globalAlpha = this.chosen === null || this.chosen === person.id ? 1 : 0.35;
      this.drawPerson(person, (pose.image[1] || 1) / 160);
    }
    g.globalAlpha = 1;
  }

  /** `size`: width of a bone, px of the frame. */
  private drawPerson(person: Person, size: number): void {
    if (this.layers.skeleton && this.skeleton !== null) this.drawBones(person, this.skeleton, size);
    if (!this.layers.keypoints) return;
    for (const [x, y, score] of person.keypoints as [number, number, number][]) {
      if (score < SURELY_SEEN) continue;
      this.dot(x, y, size * 0.85, RIM);
      this.dot(x, y, size * 0.6, KEYPOINT_COLOUR);
    }
  }

  private drawBones(person: Person, skeleton: Skeleton, size: number): void {
    const g = this.context;
    const at = person.joints.map((joint) => project(person, joint));
    const sure = confidences(skeleton, person);
    const depth = (joint: number) => person.joints[joint]?.[2] ?? 0;
    const far = (a: number, b: number) => depth(a) + depth(b);
    g.lineCap = "round";
    for (const bone of [...skeleton.bones].sort((a, b) => far(b.from, b.to) - far(a.from, a.to))) {
      const [from, to] = [at[bone.from], at[bone.to]];
      if (!from || !to) continue;
      const colour = this.layers.confidence
        ? `rgb(${confidenceColour(sure[skeleton.centres.indexOf(bone.to)] ?? 0).join(",")})`
        : SIDE_COLOURS[bone.side];
      for (const [stroke, width] of [[RIM, size * 1.7], [colour, size * 1.1]] as const) {
        g.strokeStyle = stroke;
        g.lineWidth = width;
        g.beginPath();
        g.moveTo(...from);
        g.lineTo(...to);
        g.stroke();
      }
    }
    for (const joint of skeleton.centres) {
      const centre = at[joint];
      if (!centre) continue;
      this.dot(...centre, size * 1.15, RIM);
      this.dot(...centre, size * 0.8, "#ffffff");
    }
  }

  private dot(x: number, y: number, radius: number, colour: string): void {
    const g = this.context;
    g.fillStyle = colour;
    g.beginPath();
    g.arc(x, y, radius, 0, 2 * Math.PI);
    g.fill();
  }
}

function sizeOf(source: Source): [number, number] {
  if (source instanceof HTMLVideoElement) return [source.videoWidth, source.videoHeight];
  return "displayWidth" in source ? [source.displayWidth, source.displayHeight] : [source.width, source.height];
}
