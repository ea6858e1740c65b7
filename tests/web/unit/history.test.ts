// Ring buffers of the plots, against plain arrays.

import assert from "node:assert/strict";
import { test } from "node:test";

import { History } from "viewer/history";

function filled(count: number, capacity: number): [History, number[][]] {
  const history = new History(2, capacity);
  const plain: number[][] = [];
  for (let i = 0; i < count; i++) {
    const sample = [i * 0.1, Math.fround(Math.sin(i)), Math.fround(Math.cos(3 * i))];
    history.push(sample[0]!, sample.slice(1), [0.5, i]);
    plain.push(sample);
  }
  return [history, plain.slice(-capacity)];
}

for (const count of [0, 1, 7, 16, 17, 100])
  test(`holds the newest samples in order: ${count} into 16`, () => {
    const [history, plain] = filled(count, 16);
    assert.equal(history.length, plain.length);
    plain.forEach((sample, i) => {
      assert.equal(history.time(i), sample[0]);
      assert.equal(history.value(i, 0), sample[1]);
      assert.equal(history.value(i, 1), sample[2]);
      assert.equal(history.sigma(i, 0), 0.5);
    });
    for (const t of [-1, 0, 0.35, 1.0, 5, 99]) {
      assert.equal(history.since(t), plain.filter((sample) => sample[0]! < t).length);
      const values = plain.filter((sample) => sample[0]! >= t).map((sample) => sample[2]!);
      assert.deepEqual(history.extent(1, t), values.length === 0 ? null : [Math.min(...values), Math.max(...values)]);
    }
  });

test("a sample that is not newer is left out", () => {
  const history = new History(1, 4);
  history.push(1, [1], [0]);
  history.push(1, [2], [0]);
  history.push(0.5, [3], [0]);
  history.push(Number.NaN, [4], [0]);
  assert.equal(history.length, 1);
});

test("missing values are not numbers, and no extent", () => {
  const history = new History(2, 4);
  history.push(1, [1], []);
  assert.ok(Number.isNaN(history.value(0, 1)));
  assert.equal(history.extent(1, 0), null);
});
