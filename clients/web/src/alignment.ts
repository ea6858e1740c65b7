/**
 * Finds the pose that belongs to a picture.
 *
 * A picture carries its capture time as an RTP timestamp (90 kHz, 32 bits) or in full; a pose mostly arrives before its
 * picture, so the last ones are kept. A picture between two poses (the detector may skip frames) gets what lies between
 * them; a picture too far from any pose gets none: better no skeleton than one of another moment.
 */

import type { Person, Pose } from "./schema";

const TICKS = 2 ** 32;
/** Ticks (1/90000 s) that rounding on the way may cost; frames are at least 400 apart. */
export const TOLERANCE = 45;
/** Ticks between two poses that may still be joined by a straight line: 100 ms. */
export const LONGEST_GAP = 9000;

/** -> the RTP timestamp of a frame captured at `t` ns. */
export function rtpTimestamp(t: number | bigint): number {
  return Number(((BigInt(t) * 9n) / 100000n) & 0xffffffffn);
}

/** -> a - b on the circle of 32 bits, in -2^31 … 2^31. */
export function rtpDifference(a: number, b: number): number {
  const difference = (a - b) % TICKS;
  if (difference >= TICKS / 2) return difference - TICKS;
  return difference < -TICKS / 2 ? difference + TICKS : difference;
}

export interface Aligned {
  pose: Pose;
  /** The pose is of this very frame, not from between two. */
  exact: boolean;
}

export class PoseBuffer {
  private readonly entries: { rtp: number; pose: Pose }[] = [];

  constructor(private readonly capacity = 90) {}

  /** Keeps `pose`; they may arrive out of order or twice. */
  add(pose: Pose): void {
    const rtp = rtpTimestamp(pose.t_capture);
    let at = this.entries.length;
    while (at > 0 && rtpDifference(this.entries[at - 1]!.rtp, rtp) > 0) at--;
    if (at > 0 && this.entries[at - 1]!.rtp === rtp) {
      this.entries[at - 1] = { rtp, pose };
      return;
    }
    this.entries.splice(at, 0, { rtp, pose });
    if (this.entries.length > this.capacity) this.entries.shift();
  }

  clear(): void {
    this.entries.length = 0;
  }

  get latest(): Pose | null {
    return this.entries.at(-1)?.pose ?? null;
  }

  /** -> the pose of the picture with RTP timestamp `rtp`, or null when there is none near enough. */
  at(rtp: number): Aligned | null {
    let after = this.entries.length;
    while (after > 0 && rtpDifference(this.entries[after - 1]!.rtp, rtp) > TOLERANCE) after--;
    const before = this.entries[after - 1];
    if (before === undefined) return null;
    const past = rtpDifference(rtp, before.rtp);
    if (Math.abs(past) <= TOLERANCE) return { pose: before.pose, exact: true };
    const next = this.entries[after];
    if (next === undefined) return null;
    const gap = rtpDifference(next.rtp, before.rtp);
    if (gap > LONGEST_GAP) return null;
    return { pose: between(before.pose, next.pose, past / gap), exact: false };
  }
}

/** -> what is drawn into the picture, `share` of the way from `a` to `b`, of the people who are in both. */
export function between(a: Pose, b: Pose, share: number): Pose {
  const people: Person[] = [];
  for (const person of a.people) {
    const later = b.people.find((other) => other.id === person.id);
    if (later === undefined) continue;
    people.push({
      ...person,
      box: mixed(person.box, later.box, share),
      keypoints: person.keypoints.map((point, i) => mixed(point, later.keypoints[i] ?? point, share)),
      joints: person.joints.map((point, i) => mixed(point, later.joints[i] ?? point, share)),
    });
  }
  return { ...a, people };
}

function mixed(a: number[], b: number[], share: number): number[] {
  return a.map((value, i) => value + (b[i]! - value) * share);
}
