/**
 * From the camera's frame to the world's.
 *
 * The messages give joints in the camera frame, and the pelvis (`root`) and the bodies' turns in the world; both frames
 * begin at the camera, and the world's x axis is the level part of the way back to the camera. Two angles are left, the
 * camera's tilt and its roll; they are fitted so that the pelvis and the long bones of the legs agree.
 */

import type { Person } from "./schema";
import type { Skeleton } from "./skeleton";

export type Vector = [number, number, number];
/** Rows are the world's axes in the camera frame. */
export type Rotation = [Vector, Vector, Vector];

const dot = (a: Vector, b: Vector) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

/** -> camera to world, for a camera tilted down by `tilt` and rolled by `roll`, rad. */
export function cameraToWorld(tilt: number, roll: number): Rotation {
  const up: Vector = [Math.sin(roll) * Math.cos(tilt), -Math.cos(roll) * Math.cos(tilt), -Math.sin(tilt)];
  const x: Vector = [up[2] * up[0], up[2] * up[1], up[2] * up[2] - 1];
  const length = Math.sqrt(dot(x, x));
  const forward: Vector = [x[0] / length, x[1] / length, x[2] / length];
  const right: Vector = [
    forward[1] * up[2] - forward[2] * up[1],
    forward[2] * up[0] - forward[0] * up[2],
    forward[0] * up[1] - forward[1] * up[0],
  ];
  return [forward, up, right];
}

export function turned(rotation: Rotation, v: readonly number[]): Vector {
  const vector = v as unknown as Vector;
  return [dot(rotation[0], vector), dot(rotation[1], vector), dot(rotation[2], vector)];
}

interface Pair {
  camera: Vector;
  world: Vector;
  weight: number;
}

const STEP = 1e-5; // rad
const ROUNDS = 10;
const DAMPING = 1e-6;
const STEADIED = 0.1; // share of a new frame's answer
const LONG_BONE = 0.3; // m: thighs and shanks

export class CameraFrame {
  private tilt = 0;
  private roll = 0;
  private begun = false;

  reset(): void {
    this.tilt = this.roll = 0;
    this.begun = false;
  }

  /** Takes one person's frame in; -> camera to world. */
  update(person: Person, skeleton: Skeleton): Rotation {
    const pairs = evidence(person, skeleton);
    if (pairs.length > 0) {
      const [tilt, roll] = fitted(pairs, this.tilt, this.roll);
      if (Number.isFinite(tilt) && Number.isFinite(roll)) {
        const share = this.begun ? STEADIED : 1;
        this.tilt += (tilt - this.tilt) * share;
        this.roll += (roll - this.roll) * share;
        this.begun = true;
      }
    }
    return cameraToWorld(this.tilt, this.roll);
  }
}

/** Legs: a thigh's and a shank's next joint lies down the body's own y axis, within a few degrees. */
function evidence(person: Person, skeleton: Skeleton): Pair[] {
  const pairs: Pair[] = [];
  const pelvis = person.joints[skeleton.centres[0] ?? -1];
  if (pelvis !== undefined && person.root.length === 3)
    pairs.push({ camera: pelvis as Vector, world: person.root as Vector, weight: 1 });
  for (const bone of skeleton.bones) {
    const body = skeleton.centres.indexOf(bone.from);
    const turn = person.bodies[body];
    const [from, to] = [person.joints[bone.from], person.joints[bone.to]];
    if (turn === undefined || from === undefined || to === undefined) continue;
    const along = to.map((value, k) => value - from[k]!) as Vector;
    const length = Math.sqrt(dot(along, along));
    if (length < LONG_BONE || bone.side === "c") continue;
    const [x, y, z, w] = turn as [number, number, number, number];
    const down: Vector = [-2 * (x * y - w * z), -(1 - 2 * (x * x + z * z)), -2 * (y * z + w * x)];
    pairs.push({ camera: along, world: [down[0] * length, down[1] * length, down[2] * length], weight: 0.5 });
  }
  return pairs;
}

function residuals(pairs: Pair[], tilt: number, roll: number): number[] {
  const rotation = cameraToWorld(tilt, roll);
  return pairs.flatMap(({ camera, world, weight }) =>
    turned(rotation, camera).map((value, k) => Math.sqrt(weight) * (value - world[k]!)),
  );
}

/** -> tilt and roll that bring the pairs together: Gauss-Newton on two angles, slightly damped. */
function fitted(pairs: Pair[], tilt: number, roll: number): [number, number] {
  for (let round = 0; round < ROUNDS; round++) {
    const here = residuals(pairs, tilt, roll);
    const byTilt = residuals(pairs, tilt + STEP, roll).map((value, i) => (value - here[i]!) / STEP);
    const byRoll = residuals(pairs, tilt, roll + STEP).map((value, i) => (value - here[i]!) / STEP);
    const sum = (a: number[], b: number[]) => a.reduce((total, value, i) => total + value * b[i]!, 0);
    const [tt, rr, tr] = [sum(byTilt, byTilt) + DAMPING, sum(byRoll, byRoll) + DAMPING, sum(byTilt, byRoll)];
    const [t, r] = [-sum(byTilt, here), -sum(byRoll, here)];
    const determinant = tt * rr - tr * tr;
    const [stepTilt, stepRoll] = [(rr * t - tr * r) / determinant, (tt * r - tr * t) / determinant];
    tilt += stepTilt;
    roll += stepRoll;
    if (Math.abs(stepTilt) + Math.abs(stepRoll) < 1e-6) break;
  }
  return [tilt, roll];
}
