import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { bodiesOf, carried, shaped, unpackSurface } from "viewer/body_surface";

const packed = process.env.SURFACE_BIN;
const expected = process.env.SURFACE_JSON;

test("the surface is where the body model has it", { skip: packed === undefined || expected === undefined }, () => {
  const surface = unpackSurface(new Uint8Array(readFileSync(packed!)));
  const { theta, betas, translation, numbers, vertices } = JSON.parse(readFileSync(expected!, "utf-8"));
  const positions = new Float32Array(3 * surface.vertices);
  const rest = shaped(surface, betas, positions);
  const rows = carried(surface, rest, theta, translation);
  const errors = numbers.map((v: number, n: number) => {
    const posed = [0, 0, 0];
    for (let slot = 4 * v; slot < 4 * v + 4; slot++) {
      const at = 12 * surface.carriers[slot]!;
      const weight = surface.weights[slot]! / 255;
      for (let axis = 0; axis < 3; axis++) {
        posed[axis]! += weight * rows[at + 4 * axis + 3]!;
        for (let k = 0; k < 3; k++) posed[axis]! += weight * rows[at + 4 * axis + k]! * positions[3 * v + k]!;
      }
    }
    return Math.hypot(...posed.map((value, axis) => value - vertices[n][axis]));
  });
  errors.sort((a: number, b: number) => a - b);
  assert.ok(errors[200] < 2e-4, `median ${errors[200]} m`);
  assert.ok(errors[390] < 6e-3, `97 % ${errors[390]} m`);
});

test("joints find the bodies that speak for them", { skip: packed === undefined }, () => {
  const surface = unpackSurface(new Uint8Array(readFileSync(packed!)));
  const names = ["pelvis", "femur_l", "tibia_l", "hand_r", "head", "humerus_r"];
  const bodies = bodiesOf(surface, names);
  const of = (joint: string) => bodies[surface.jointNames.indexOf(joint)];
  assert.equal(of("left_hip"), 1);
  assert.equal(of("left_knee"), 2);
  assert.equal(of("right_wrist"), 3);
  assert.equal(of("head"), 4);
  assert.equal(of("right_shoulder"), 5);
  assert.equal(of("right_hip"), -1);
});

test("bytes that are no surface are refused", () => {
  assert.throws(() => unpackSurface(new Uint8Array(4)));
  assert.throws(() => unpackSurface(new TextEncoder().encode("\x02\0\0\0{}")));
});
