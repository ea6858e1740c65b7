import assert from "node:assert/strict";
import { test } from "node:test";

import { ServerClock } from "viewer/server_clock";

test("knows nothing before it is told", () => {
  assert.equal(new ServerClock().age(1), null);
});

test("the sender's two clocks give the age on the same machine", () => {
  const clock = new ServerClock();
  clock.set({ monotonic_ns: 5_000_000_000, wall_ns: 1_700_000_000_000_000_000n });
  assert.ok(Math.abs(clock.age(5_100_000_000, 1_700_000_000_130)! - 30) < 0.01);
});

test("asking is better: another machine's wall clock may be wrong", () => {
  const clock = new ServerClock();
  clock.answer(5_000_000_000, 10, 1_700_000_000_005);
  clock.set({ monotonic_ns: 5_000_000_000, wall_ns: 1_600_000_000_000_000_000n });
  assert.ok(Math.abs(clock.age(5_100_000_000, 1_700_000_000_130)! - 30) < 0.01);
});

test("an age that cannot be is not shown", () => {
  const clock = new ServerClock();
  clock.set({ monotonic_ns: 0, wall_ns: 0 });
  assert.equal(clock.age(1_000_000_000, 0), null);
  assert.equal(clock.age(0, 60_000), null);
});

test("a stated clock that asking does not contradict is the more exact one", () => {
  const clock = new ServerClock();
  clock.set({ monotonic_ns: 5_000_000_000, wall_ns: 1_700_000_000_000_000_000n });
  clock.answer(5_000_000_000, 60, 1_700_000_000_058);
  assert.ok(Math.abs(clock.age(5_100_000_000, 1_700_000_000_130)! - 30) < 0.01);
});
