// A picture waits for its pose, but not for long.

import assert from "node:assert/strict";
import { test } from "node:test";

import { HeldPictures } from "viewer/held_pictures";

(globalThis as unknown as { window: unknown }).window = globalThis;

let open = 0;
function frame(): VideoFrame {
  open += 1;
  return { clone: frame, close: () => (open -= 1) } as unknown as VideoFrame;
}

function setUp() {
  const shown: number[] = [];
  const known = new Set<number>();
  const held = new HeldPictures((rtp) => known.has(rtp), (_frame, rtp) => shown.push(rtp));
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

test("poses that come later than the next picture still find theirs", () => {
  const { shown, known, held, take } = setUp();
  held.pose(1000);
  for (let i = 0; i < 6; i++) {
    take(i, 1001 + 33 * i);
    if (i < 2) continue;
    known.add(i - 2);
    held.pose(1010 + 33 * i);
  }
  assert.deepEqual(shown, [0, 1, 2, 3]);
  held.drop();
  assert.equal(open, 0);
});

test("passed over when a later one is shown", () => {
  const { shown, known, held, take } = setUp();
  held.pose(1000);
  take(1, 1001);
  take(2, 1034);
  take(3, 1067);
  known.add(2);
  held.pose(1070);
  assert.deepEqual(shown, [2]);
  known.add(1);
  held.pose(1075);
  assert.deepEqual(shown, [2]);
  known.add(4);
  take(4, 1100);
  assert.deepEqual(shown, [2, 4]);
  assert.equal(open, 0);
});

test("pictures go on without poses", () => {
  const { shown, held, take } = setUp();
  held.pose(1000);
  for (let i = 0; i < 8; i++) take(i, 1001 + 33 * i);
  assert.deepEqual(shown, [0, 1, 2]);
  for (let i = 8; i < 20; i++) take(i, 1001 + 33 * i);
  assert.equal(shown.at(-1), 19); // by now none are expected any more
  held.drop();
  assert.equal(open, 0);
});

test("shown after a while in any case", async () => {
  const { shown, held, take } = setUp();
  const now = performance.now();
  held.pose(now);
  take(9, now + 1);
  while (shown.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(shown, [9]);
  assert.equal(open, 0);
});
