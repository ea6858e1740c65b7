/** The poses of a recording by number: fetched in blocks as they are wanted, the last blocks kept. */

import type { Api } from "./api";
import type { Pose } from "./schema";
import { parseMessage } from "./wire";

const BLOCK = 64;
const KEPT = 24; // blocks: a minute at 25 frames per second

export class RecordedPoses {
  private readonly blocks = new Map<number, Pose[]>();
  private readonly asked = new Map<number, Promise<Pose[]>>();

  constructor(private readonly api: Api, readonly count: number) {}

  /** -> the pose when it is here already; it is fetched otherwise, and the block after it ahead of time. */
  at(number: number): Pose | null {
    const block = Math.floor(number / BLOCK);
    const found = this.blocks.get(block)?.[number - block * BLOCK] ?? null;
    this.want(found === null ? block : block + 1);
    return found;
  }

  /** -> poses `first` up to `last`, `last` not among them. Raises what the server or the network says. */
  async range(first: number, last: number): Promise<Pose[]> {
    const found: Pose[] = [];
    for (let block = Math.floor(first / BLOCK); block * BLOCK < last; block++) {
      const poses = this.blocks.get(block) ?? (await this.fetched(block));
      found.push(...poses.slice(Math.max(first - block * BLOCK, 0), last - block * BLOCK));
    }
    return found;
  }

  private want(block: number): void {
    if (block * BLOCK >= this.count || this.blocks.has(block)) return;
    this.fetched(block).catch(() => undefined); // whoever shows the pose asks again
  }

  private fetched(block: number): Promise<Pose[]> {
    let asked = this.asked.get(block);
    if (asked === undefined) {
      asked = this.fetch(block).finally(() => this.asked.delete(block));
      this.asked.set(block, asked);
    }
    return asked;
  }

  private async fetch(block: number): Promise<Pose[]> {
    const bytes = await this.api.bytes(`/api/replay/poses?from=${block * BLOCK}&count=${BLOCK}`);
    const poses = [...framed(bytes)].map((part) => {
      const message = parseMessage(part);
      if (message.topic !== "pose") throw new Error("the recording holds something else than poses");
      return message.pose;
    });
    this.blocks.set(block, poses);
    for (const oldest of this.blocks.keys()) {
      if (this.blocks.size <= KEPT) break;
      this.blocks.delete(oldest);
    }
    return poses;
  }
}

/** -> the messages of an answer: each stands behind its length (4 bytes, little-endian). */
export function* framed(bytes: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (at + 4 + length > bytes.length) throw new Error("the answer ends early");
    yield bytes.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
}

/** -> the number of the last of `times` (increasing) that is not after `t`; 0 before the first. */
export function numberAt(times: Float64Array, t: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle]! <= t) low = middle + 1;
    else high = middle;
  }
  return Math.max(low - 1, 0);
}

/** -> the number of the one of `times` that is `t` but for rounding (nearer than any other), null when none is. */
export function sameNumber(times: Float64Array, t: number, tolerance: number): number | null {
  const before = numberAt(times, t);
  const off = (number: number) => Math.abs((times[number] ?? Infinity) - t);
  const nearest = off(before + 1) < off(before) ? before + 1 : before;
  return off(nearest) <= tolerance ? nearest : null;
}
