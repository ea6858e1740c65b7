import assert from "node:assert/strict";
import { test } from "node:test";

import { niceStep, ticks, ValueAxis } from "viewer/plot_scale";

test("steps are 1, 2 or 5 times a power of ten", () => {
  for (let span = 0.001; span < 1e5; span *= 1.37) {
    const step = niceStep(span, 4);
    const leading = Number(step.toExponential()[0]);
    assert.ok([1, 2, 5].includes(leading), `${span}: ${step}`);
    assert.ok(span / step <= 4 + 1e-6);
    assert.ok(span / step > 1.5);
  }
});

test("ticks are the multiples inside", () => {
  assert.deepEqual(ticks(-20, 40, 20), [-20, 0, 20, 40]);
  assert.deepEqual(ticks(-19, 39, 20), [0, 20]);
  assert.deepEqual(ticks(0.1, 0.35, 0.1).map((tick) => Number(tick.toFixed(3))), [0.1, 0.2, 0.3]);
});

test("the axis holds the data, stays put while they fit, and shrinks when they are small", () => {
  const axis = new ValueAxis(20);
  axis.fit(0, 60);
  const before = [axis.low, axis.high];
  assert.ok(axis.low <= 0 && axis.high >= 60);
  axis.fit(10, 55);
  assert.deepEqual([axis.low, axis.high], before);
  axis.fit(-15, 55);
  assert.ok(axis.low <= -15);
  axis.fit(10, 12);
  assert.ok(axis.high - axis.low <= 40);
  axis.fit(11, 11);
  assert.ok(axis.high - axis.low >= 20);
});
