// Camera to world: on made-up cameras exactly, and on recorded poses to what the messages state.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { CameraFrame, cameraToWorld, turned } from "viewer/camera_frame";
import type { Meta, Person, Pose } from "viewer/schema";
import { skeletonOf } from "viewer/skeleton";

const [metaFile, posesFile] = [process.env.META_JSON, process.env.POSES_JSON];
const skip = { skip: metaFile === undefined && "no messages: run through pytest" };

test("a level camera: the world's x comes back to it, y is up, z to its left", () => {
  assert.deepEqual(turned(cameraToWorld(0, 0), [1, 2, 3]).map((value) => value + 0), [-3, -2, -1]);
});

test("the axes are a right-handed rotation, up is against gravity", () => {
  for (const [tilt, roll] of [[0.3, 0], [-0.2, 0.1], [0.05, -0.4]] as const) {
    const [x, y, z] = cameraToWorld(tilt, roll);
    const dot = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    for (const axis of [x, y, z]) assert.ok(Math.abs(dot(axis, axis) - 1) < 1e-12);
    const cross = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
    cross.forEach((value, i) => assert.ok(Math.abs(value - z[i]!) < 1e-12));
    assert.ok(Math.abs(y[2] + Math.sin(tilt)) < 1e-12);
  }
});

test("tilt and roll are found from pelvis and legs", () => {
  const meta = {
    body_names: ["pelvis", "femur_r", "tibia_r"], joint_names: ["pelvis", "femur_r", "tibia_r"],
    body_parents: [-1, 0, 1], coordinate_names: [], coordinate_units: [], keypoint_names: [],
  } as unknown as Meta;
  const true_ = cameraToWorld(0.25, 0.08);
  const back = (v: number[]) => [0, 1, 2].map((k) => true_[0][k]! * v[0]! + true_[1][k]! * v[1]! + true_[2][k]! * v[2]!);
  const [pelvis, hip] = [[-3, -0.4, 0.6], [-3, -0.45, 0.7]];
  const knee = [-3, -0.85, 0.7];
  const person = {
    joints: [back(pelvis), back(hip), back(knee)], root: pelvis, bodies: [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 1]],
  } as unknown as Person;
  const found = new CameraFrame().update(person, skeletonOf(meta));
  found.flat().forEach((value, i) => assert.ok(Math.abs(value - true_.flat()[i]!) < 1e-4));
});

test("the pelvis comes out where the messages say it is", skip, () => {
  const meta: Meta = JSON.parse(readFileSync(metaFile!, "utf-8"));
  const poses: Pose[] = JSON.parse(readFileSync(posesFile!, "utf-8"));
  const skeleton = skeletonOf(meta);
  for (const pose of poses) {
    const person = pose.people[0]!;
    const rotation = new CameraFrame().update(person, skeleton);
    const pelvis = turned(rotation, person.joints[skeleton.centres[0]!]!);
    const off = Math.hypot(...pelvis.map((value, k) => value - person.root[k]!));
    assert.ok(off < 0.05, `${off} m`);
    // He stands on his feet.
    const head = turned(rotation, person.joints[skeleton.centres[meta.body_names.indexOf("head")]!]!);
    assert.ok(head[1] - pelvis[1] > 0.3);
  }
});
