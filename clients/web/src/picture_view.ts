/**
 * The live picture with the skeleton of the same moment drawn into it.
 *
 * Picture and skeleton go onto one canvas in one step, so that no compositor can show one without the other. The last
 * picture is kept, to draw it again when its pose arrives late, when a switch is turned or when the size changes: the
 * frame or bitmap itself, since a copy at full size would cost a processor that does the graphics' work as much again.
 */

import type { Aligned } from "./alignment";
import { FramePlanes } from "./frame_planes";
import type { Meta, Person, Pose } from "./schema";
import { confidenceColour, confidences, project, SIDE_COLOURS, type Skeleton, skeletonOf } from "./skeleton";

export interface Layers {
  skeleton: boolean;
  keypoints: boolean;
  confidence: boolean;
  mirrored: boolean;
}

type Source = HTMLVideoElement | HTMLCanvasElement | VideoFrame | ImageBitmap;

const SURELY_SEEN = 0.5; // keypoint score
const RIM = "rgba(8, 12, 18, 0.85)";
const NO_PICTURE = "#141b24";
export const KEYPOINT_COLOUR = "#5cffc4";

export class PictureView {
  readonly layers: Layers = { skeleton: true, keypoints: true, confidence: false, mirrored: false };
  /** The person whose skeleton is drawn brightly; null: all. */
  chosen: number | null = null;
  private readonly context: CanvasRenderingContext2D;
  private readonly copy = document.createElement("canvas");
  private kept: VideoFrame | ImageBitmap | null = null;
  /** Where a processor does the graphics' work: the frame that is shown, while `kept` is none. */
  private readonly planes = new FramePlanes();
  private planar = false;
  private coming: { aligned: Aligned | null } | null = null;
  /** A processor does the graphics' work. */
  slow = false;
  private size: [number, number] = [0, 0];
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

  /**
   * Shows a new picture with the pose that belongs to it, if it is known; resolves when it is drawn. A bitmap is closed
   * here, a frame is not.
   */
  async show(source: Source, aligned: Aligned | null): Promise<void> {
    const [width, height] = sizeOf(source);
    if (width === 0 || height === 0) return;
    const coming = (this.coming = { aligned });
    const planar = this.slow && "copyTo" in source && this.planes.takes(source, this.canvas.width * this.canvas.height);
    if (planar) await this.planes.read(source);
    if (this.coming !== coming) return; // the next one has come meanwhile
    this.coming = null;
    this.planar = planar;
    if (this.size[0] !== width || this.size[1] !== height)
      this.canvas.style.setProperty("--aspect", `${width} / ${height}`);
    this.size = [width, height];
    if (planar) this.keep(null);
    else if (source instanceof HTMLElement) {
      // It goes on to its next picture.
      this.copied(width, height)?.drawImage(source, 0, 0);
      this.keep(null);
    } else this.keep("clone" in source ? source.clone() : source);
    this.hasPicture = true;
    this.aligned = coming.aligned;
    this.draw();
  }

  /** Shows a pose without its picture. */
  showAlone(pose: Pose): void {
    const [width, height] = [pose.image[0] || 640, pose.image[1] || 480];
    this.size = [width, height];
    const g = this.copied(width, height);
    if (g !== null) {
      g.fillStyle = NO_PICTURE;
      g.fillRect(0, 0, width, height);
    }
    this.keep(null);
    this.planar = false;
    this.coming = null;
    this.hasPicture = true;
    this.aligned = { pose, exact: true };
    this.draw();
  }

  private keep(picture: VideoFrame | ImageBitmap | null): void {
    this.kept?.close();
    this.kept = picture;
  }

  /** -> where a picture of this size can be copied to. */
  private copied(width: number, height: number): CanvasRenderingContext2D | null {
    if (this.copy.width !== width || this.copy.height !== height) [this.copy.width, this.copy.height] = [width, height];
    return this.copy.getContext("2d", { alpha: false });
  }

  /** The pose of the picture that is shown came after it. */
  setPose(aligned: Aligned): void {
    if (this.coming !== null) {
      this.coming.aligned = aligned; // it is about to be drawn
      return;
    }
    this.aligned = aligned;
    this.draw();
  }

  get shown(): Aligned | null {
    return this.coming === null ? this.aligned : this.coming.aligned;
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
    const [across, down] = this.size;
    const zoom = Math.min(width / across, height / down);
    const left = (width - across * zoom) / 2;
    const top = (height - down * zoom) / 2;
    this.area = [left, top, across * zoom, down * zoom];
    if (this.layers.mirrored) g.setTransform(-zoom, 0, 0, zoom, width - left, top);
    else g.setTransform(zoom, 0, 0, zoom, left, top);
    const small = this.planar ? this.planes.drawn(Math.round(across * zoom), Math.round(down * zoom)) : null;
    g.drawImage(small ?? this.kept ?? this.copy, 0, 0, across, down);
    const pose = this.aligned?.pose;
    if (pose === undefined) return;
    // Poses are in px of the captured frame; the video may have been made smaller for the way.
    g.scale(across / (pose.image[0] || 1), down / (pose.image[1] || 1));
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
