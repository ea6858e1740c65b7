import assert from "node:assert/strict";
import { test } from "node:test";

import { framed, numberAt, sameNumber } from "viewer/recorded_poses";

const times = Float64Array.from([0, 3000, 6001, 9000, 30000]);

test("the pose of a moment is the last one that is not after it", () => {
  for (const [t, number] of [[-5, 0], [0, 0], [2999, 0], [3000, 1], [6000, 1], [6001, 2], [29999, 3], [1e9, 4]] as const)
    assert.equal(numberAt(times, t), number, String(t));
});

test("a picture's pose is of its own moment but for rounding", () => {
  for (const [t, number] of [[0, 0], [2700, 1], [3300, 1], [6340, 2], [6400, null], [20000, null], [30044, 4]] as const)
    assert.equal(sameNumber(times, t, 360), number, String(t));
  assert.equal(sameNumber(Float64Array.from([0, 500]), 300, 360), 1);
});

test("messages are cut where their lengths say", () => {
  const bytes = Uint8Array.from([2, 0, 0, 0, 7, 8, 0, 0, 0, 0, 1, 0, 0, 0, 9]);
  assert.deepEqual([...framed(bytes)].map((part) => [...part]), [[7, 8], [], [9]]);
  assert.throws(() => [...framed(bytes.subarray(0, 5))]);
});
