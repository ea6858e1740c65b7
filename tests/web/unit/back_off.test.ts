import assert from "node:assert/strict";
import { test } from "node:test";

import { BackOff } from "viewer/back_off";

test("waits longer each time, up to a few seconds, and starts again", () => {
  const backOff = new BackOff(() => 0.5);
  const waits = Array.from({ length: 12 }, () => backOff.next());
  assert.ok(waits[0]! < 500);
  waits.slice(1).forEach((wait, i) => assert.ok(wait >= waits[i]!));
  assert.equal(waits.at(-1), 5000);
  backOff.reset();
  assert.equal(backOff.next(), waits[0]);
});

test("pages spread out", () => {
  assert.ok(new BackOff(() => 0).next() < new BackOff(() => 1).next());
});
