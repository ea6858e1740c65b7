/**
 * What the messages' numbers mean for drawing: bones between joint centres, sides, how sure a joint is, and where a
 * joint centre lies in the picture.
 */

import type { Meta, Person } from "./schema";
import { type Side, split, swings } from "./coordinates";

export interface Bone {
  /** Positions in `joints` and, as joint centres come first and are named by body, in `bodies`. */
  from: number;
  to: number;
  side: Side;
}

export interface Skeleton {
  bones: Bone[];
  /** [body] position in `joints`. */
  centres: number[];
  sides: Side[];
  /** [body] keypoints (positions) that speak for this body's joint centre; empty: only the person's confidence does. */
  evidence: number[][];
  /** [body] coordinates (positions) that swing the body. */
  swings: number[][];
}

/** Which keypoints (MediaPipe's names, without their side) are nearest to the joint centre of a body. */
const NEAREST: Record<string, string[]> = {
  pelvis: ["left_hip", "right_hip"],
  lumbar: ["left_hip", "right_hip", "left_shoulder", "right_shoulder"],
  thorax: ["left_shoulder", "right_shoulder"],
  head: ["nose", "left_ear", "right_ear"],
  femur: ["hip"],
  tibia: ["knee"],
  talus: ["ankle"],
  calcn: ["heel"],
  toes: ["foot_index"],
  scapula: ["shoulder"],
  humerus: ["shoulder"],
  ulna: ["elbow"],
  radius: ["elbow"],
  hand: ["wrist"],
};

export function skeletonOf(meta: Meta): Skeleton {
  const centres = meta.body_names.map((name) => meta.joint_names.indexOf(name));
  const bones: Bone[] = [];
  meta.body_parents.forEach((parent, body) => {
    const from = centres[parent];
    const to = centres[body];
    if (from === undefined || to === undefined || from < 0 || to < 0) return;
    bones.push({ from, to, side: split(meta.body_names[body]!)[1] });
  });
  const evidence = meta.body_names.map((body) => {
    const [name, side] = split(body);
    const prefix = { l: "left_", r: "right_", c: "" }[side];
    return (NEAREST[name] ?? []).map((k) => meta.keypoint_names.indexOf(prefix + k)).filter((index) => index >= 0);
  });
  return { bones, centres, sides: meta.body_names.map((body) => split(body)[1]), evidence, swings: swings(meta) };
}

/** -> 0 … 1 for each body: how surely its joint centre was seen. */
export function confidences(skeleton: Skeleton, person: Person): number[] {
  return skeleton.evidence.map((points) => {
    if (points.length === 0) return person.confidence;
    let sum = 0;
    for (const point of points) sum += person.keypoints[point]?.[2] ?? 0;
    return Math.min(1, Math.max(0, (sum / points.length) * person.confidence));
  });
}

/** -> one-sigma, rad, of the direction of each body: of the coordinates that swing it, added in quadrature. */
export function swingSigmas(skeleton: Skeleton, person: Person): number[] {
  return skeleton.swings.map((coordinates) =>
    Math.sqrt(coordinates.reduce((sum, c) => sum + (person.q_sigma[c] ?? 0) ** 2, 0)),
  );
}

const NEAREST_DEPTH = 0.05;

/** -> picture position, px of the full frame, of a point in the camera frame; null behind the camera. */
export function project(person: Person, joint: readonly number[]): [number, number] | null {
  const [x, y, z] = joint as [number, number, number];
  if (!(z > NEAREST_DEPTH)) return null;
  const { focal, centre } = person.camera;
  return [(focal * x) / z + centre[0]!, (focal * y) / z + centre[1]!];
}

export const SIDE_COLOURS: Record<Side, string> = { l: "#4da3ff", r: "#ff9a3c", c: "#f2f4f7" };

/** -> [red, green, blue] 0 … 255: from unsure (magenta) over yellow to sure (teal); told apart by colour-blind people. */
export function confidenceColour(confidence: number): [number, number, number] {
  const c = Math.min(1, Math.max(0, confidence));
  const stops: [number, number, number][] = [[214, 64, 120], [242, 193, 78], [48, 200, 168]];
  const at = c * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2);
  return [0, 1, 2].map((k) => Math.round(stops[i]![k]! + (stops[i + 1]![k]! - stops[i]![k]!) * (at - i))) as [
    number, number, number,
  ];
}
