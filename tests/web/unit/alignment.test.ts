// Which pose belongs to a picture, also across the 32-bit wrap of RTP timestamps.

import assert from "node:assert/strict";
import { test } from "node:test";

import { between, PoseBuffer, rtpDifference, rtpTimestamp } from "viewer/alignment";
import type { Person, Pose } from "viewer/schema";

const FRAME_NS = 33_333_333;

function person(id: number, x: number): Person {
  return { id, box: [x, 0, 1, 1], keypoints: [[x, x, 1]], joints: [[x, 0, 3]], q: [x] } as unknown as Person;
}

function pose(seq: number, t: number | bigint, people: Person[] = []): Pose {
  return { seq, t_capture: t, people, image: [640, 480] } as unknown as Pose;
}

test("the timestamp counts 90 kHz and wraps at 32 bits", () => {
  assert.equal(rtpTimestamp(1_000_000_000), 90_000);
  assert.equal(rtpTimestamp(15_701_059_685_307), Math.floor((15_701_059_685_307 * 9) / 100_000) % 2 ** 32);
  // Beyond 2^53: by Python, 12345678901234567890 * 9 // 100000 % 2**32.
  assert.equal(rtpTimestamp(12345678901234567890n), 3061635911);
});

test("differences go round the circle", () => {
  assert.equal(rtpDifference(5, 2 ** 32 - 5), 10);
  assert.equal(rtpDifference(2 ** 32 - 5, 5), -10);
  assert.equal(rtpDifference(7, 7), 0);
});

for (const [name, start] of [["plain", 1_000_000_000n], ["across the wrap", (2n ** 32n * 100_000n) / 9n - 200_000_000n]] as const)
  test(`every picture gets its own pose: ${name}`, () => {
    const buffer = new PoseBuffer();
    const times = Array.from({ length: 40 }, (_, i) => start + BigInt(i * FRAME_NS));
    times.forEach((t, i) => buffer.add(pose(i, t)));
    times.forEach((t, i) => {
      const found = buffer.at(rtpTimestamp(t));
      assert.equal(found?.pose.seq, i);
      assert.equal(found?.exact, true);
    });
  });

test("order of arrival does not matter, and a repeated pose replaces itself", () => {
  const buffer = new PoseBuffer();
  for (const i of [3, 1, 2, 0, 4, 2]) buffer.add(pose(i, i * FRAME_NS));
  for (let i = 0; i < 5; i++) assert.equal(buffer.at(rtpTimestamp(i * FRAME_NS))?.pose.seq, i);
});

test("a picture between two poses gets what lies between them", () => {
  const buffer = new PoseBuffer();
  buffer.add(pose(0, 0, [person(1, 100), person(2, 5)]));
  buffer.add(pose(2, 2 * FRAME_NS, [person(1, 120)]));
  const found = buffer.at(rtpTimestamp(FRAME_NS));
  assert.equal(found?.exact, false);
  assert.equal(found?.pose.people.length, 1);
  assert.ok(Math.abs(found!.pose.people[0]!.keypoints[0]![0]! - 110) < 0.01);
});

test("no skeleton rather than one of another moment", () => {
  const buffer = new PoseBuffer();
  assert.equal(buffer.at(0), null);
  buffer.add(pose(0, 10 * FRAME_NS));
  assert.equal(buffer.at(rtpTimestamp(9 * FRAME_NS)), null, "before the first");
  assert.equal(buffer.at(rtpTimestamp(11 * FRAME_NS)), null, "after the last");
  buffer.add(pose(1, 20 * FRAME_NS));
  assert.equal(buffer.at(rtpTimestamp(15 * FRAME_NS)), null, "in a long gap");
});

test("old poses are forgotten", () => {
  const buffer = new PoseBuffer(10);
  for (let i = 0; i < 30; i++) buffer.add(pose(i, i * FRAME_NS));
  assert.equal(buffer.at(rtpTimestamp(15 * FRAME_NS)), null);
  assert.equal(buffer.latest?.seq, 29);
});

test("between leaves its arguments alone", () => {
  const [a, b] = [pose(0, 0, [person(1, 0)]), pose(1, 1, [person(1, 10)])];
  assert.equal(between(a, b, 0.25).people[0]!.box[0], 2.5);
  assert.equal(a.people[0]!.box[0], 0);
});
