// A picture waits for its pose, but not for long.

import assert from "node:assert/strict";
import { test } from "node:test";

import { HeldPicture } from "viewer/held_picture";

(globalThis as unknown as { window: unknown }).window = globalThis;

let open = 0;
function frame(): VideoFrame {
  open += 1;
  return { clone: frame, close: () => (open -= 1) } as unknown as VideoFrame;
}

function setUp() {
  const shown: number[] = [];
  const known = new Set<number>();
  const held = new HeldPicture((rtp) => known.has(rtp), (_frame, rtp) => shown.push(rtp));
  const take = (rtp: number, now: number) => {
    const given = frame();
    held.take(given, rtp, now);
    given.close();
  };
  return { shown, known, held, take };
}

test("shown at once when the pose is there, or when none come", () => {
  const { shown, known, take, held } = setUp();
  take(1, 1000);
  known.add(2);
  held.pose(1010);
  take(2, 1020);
  assert.deepEqual(shown, [1, 2]);
  assert.equal(open, 0);
});

test("shown when its pose comes", () => {
  const { shown, known, held, take } = setUp();
  held.pose(1000);
  take(3, 1001);
  assert.deepEqual(shown, []);
  known.add(3);
  held.pose(1010);
  assert.deepEqual(shown, [3]);
  assert.equal(open, 0);
});

test("passed over for the next one, and pictures go on without poses", () => {
  const { shown, held, take } = setUp();
  held.pose(1000);
  for (let i = 0; i < 5; i++) take(i, 1001 + 33 * i);
  assert.deepEqual(shown, [3]);
  held.drop();
  assert.equal(open, 0);
});

test("shown after a while in any case", async () => {
  const { shown, held, take } = setUp();
  held.pose(1000);
  take(9, 1001);
  await new Promise((resolve) => setTimeout(resolve, 120));
  assert.deepEqual(shown, [9]);
  assert.equal(open, 0);
});
