import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { MsgpackError } from "viewer/msgpack";
import { parseMessage, WireError } from "viewer/wire";

const file = process.env.MESSAGES_HEX;
const skip = { skip: file === undefined && "no messages: run through pytest" };
const messages = (): Record<string, Uint8Array> =>
  Object.fromEntries(
    Object.entries(JSON.parse(readFileSync(file!, "utf-8")) as Record<string, string>).map(([name, hex]) => [
      name, Uint8Array.from(Buffer.from(hex, "hex")),
    ]),
  );

test("the publisher's bytes", skip, () => {
  const { pose, meta, health } = messages();
  const parsed = parseMessage(pose!);
  assert.ok(parsed.topic === "pose" && parsed.pose.people[0]!.keypoints.length === 33);
  const about = parseMessage(meta!);
  assert.ok(about.topic === "meta" && about.meta.body_parents[0] === -1);
  const state = parseMessage(health!);
  assert.ok(state.topic === "health" && state.health.stages[0]!.name === "capture");
});

test("unknown fields are ignored, another major version is refused in one sentence", skip, () => {
  const { newer, other } = messages();
  assert.equal(parseMessage(newer!).topic, "pose");
  assert.throws(() => parseMessage(other!), (error: Error) => error instanceof WireError && /schema 2\.0/.test(error.message));
});

test("a picture carries its capture time in full", () => {
  const bytes = new Uint8Array([...Buffer.from("jpeg "), 0x80, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xd8, 0xff]);
  const parsed = parseMessage(bytes);
  assert.ok(parsed.topic === "jpeg");
  assert.equal(parsed.jpeg.t_capture, 2n ** 63n + 1n);
  assert.deepEqual([...parsed.jpeg.bytes], [0xff, 0xd8, 0xff]);
});

test("what is no message is refused", () => {
  for (const text of ["", "pose", "noise 1", "jpeg short", " ", "x".repeat(100)])
    assert.throws(() => parseMessage(new Uint8Array(Buffer.from(text))), (error: Error) =>
      error instanceof WireError || error instanceof MsgpackError);
  assert.throws(() => parseMessage(new Uint8Array([...Buffer.from("pose "), 0xc0])), WireError);
  assert.throws(() => parseMessage(new Uint8Array([...Buffer.from("pose "), 0x81, 0xa1, 0x76, 0xa3, 0x31, 0x2e, 0x30])), WireError);
});
