// Names, sides and units, with the recorded meta message of the embedded skeleton (see test_page_modules.py).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { entries, FIRST_PINS, matches, split, swings } from "viewer/coordinates";
import type { Meta } from "viewer/schema";

const file = process.env.META_JSON;
const skip = { skip: file === undefined && "no meta message: run through pytest" };
const meta = (): Meta => JSON.parse(readFileSync(file!, "utf-8"));

test("sides", () => {
  assert.deepEqual(split("knee_angle_r"), ["knee_angle", "r"]);
  assert.deepEqual(split("pelvis_tilt"), ["pelvis_tilt", "c"]);
});

test("every coordinate of the skeleton appears once, with a title of its own", skip, () => {
  const all = entries(meta());
  const names = all.flatMap((entry) => entry.sides.map((side) => side.name)).sort();
  assert.deepEqual(names, [...meta().coordinate_names].sort());
  assert.ok(all.every((entry) => entry.group !== "Other"));
  assert.equal(new Set(all.map((entry) => entry.title)).size, all.length);
  for (const entry of all) for (const side of entry.sides) assert.equal(meta().coordinate_names[side.index], side.name);
  for (const key of FIRST_PINS) assert.ok(all.some((entry) => entry.key === key));
});

test("units and ranges", skip, () => {
  const all = entries(meta());
  const knee = all.find((entry) => entry.key === "knee_angle")!;
  assert.equal(knee.unit, "°");
  assert.ok(Math.abs(knee.factor * Math.PI - 180) < 1e-9);
  assert.deepEqual(knee.sides.map((side) => side.side), ["l", "r"]);
  assert.ok(knee.sides[0]!.range![1] > 100);
  assert.equal(all.find((entry) => entry.key === "pelvis_ty")!.unit, "cm");
});

test("search takes words in any order, plain or technical", skip, () => {
  const found = (search: string) => entries(meta()).filter((entry) => matches(entry, search)).map((entry) => entry.key);
  assert.deepEqual(found("knee"), ["knee_angle"]);
  assert.deepEqual(found("flexion HIP"), ["hip_flexion"]);
  assert.deepEqual(found("arm_flex_l"), ["arm_flex"]);
  assert.ok(found("left").includes("knee_angle"));
  assert.deepEqual(found("xyz"), []);
});

test("a skeleton of other names is still shown", () => {
  const other = { coordinate_names: ["jaw_open", "tail_l"], coordinate_units: ["rad", "m"], body_names: [] };
  const all = entries(other as unknown as Meta);
  assert.deepEqual(all.map((entry) => entry.title), ["Jaw open", "Tail"]);
  assert.deepEqual(all.map((entry) => entry.group), ["Other", "Other"]);
});

test("thighs are swung by flexion and adduction, not by their rotation", skip, () => {
  const bodies = meta().body_names;
  const names = swings(meta())[bodies.indexOf("femur_r")]!.map((index) => meta().coordinate_names[index]);
  assert.deepEqual(names, ["hip_flexion_r", "hip_adduction_r"]);
});
