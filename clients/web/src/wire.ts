/**
 * From bytes to messages: a topic (`pose `, `meta `, `health `), then msgpack of schema v1; or `jpeg `, the capture time
 * (8 bytes, big-endian, ns) and a picture, which only the WebSocket carries.
 *
 * Only what the page would stumble over is checked: the major version and the fields' kinds at the top.
 */

import { decode, type Value } from "./msgpack";
import { type Health, type Meta, type Pose, VERSION } from "./schema";

export class WireError extends Error {}

export interface Jpeg {
  t_capture: number | bigint;
  bytes: Uint8Array;
}

export type Message =
  | { topic: "pose"; pose: Pose }
  | { topic: "meta"; meta: Meta }
  | { topic: "health"; health: Health }
  | { topic: "jpeg"; jpeg: Jpeg };

const LONGEST_TOPIC = 16;

/** Raises WireError (unknown topic, another major version, missing fields) and MsgpackError. */
export function parseMessage(bytes: Uint8Array): Message {
  const space = bytes.subarray(0, LONGEST_TOPIC).indexOf(0x20);
  const topic = String.fromCharCode(...bytes.subarray(0, Math.max(space, 0)));
  const body = bytes.subarray(space + 1);
  switch (topic) {
    case "jpeg":
      return { topic, jpeg: jpegOf(body) };
    case "pose":
      return { topic, pose: checked<Pose>(topic, body, { seq: isNumber, t_capture: isTime, image: isList, people: isList }) };
    case "meta":
      return {
        topic,
        meta: checked<Meta>(topic, body, {
          session: isString, joint_names: isList, coordinate_names: isList, coordinate_units: isList, body_names: isList,
          body_parents: isList, keypoint_names: isList,
        }),
      };
    case "health":
      return { topic, health: checked<Health>(topic, body, { fps: isNumber, stages: isList }) };
    default:
      throw new WireError("the message has an unknown topic");
  }
}

function jpegOf(body: Uint8Array): Jpeg {
  if (body.length < 10) throw new WireError("the picture ends early");
  const t = new DataView(body.buffer, body.byteOffset, 8).getBigUint64(0);
  return { t_capture: t, bytes: body.subarray(8) };
}

type Check = (value: Value | undefined) => boolean;
const isNumber: Check = (value) => typeof value === "number";
const isString: Check = (value) => typeof value === "string";
const isTime: Check = (value) => typeof value === "number" || typeof value === "bigint";
const isList: Check = (value) => Array.isArray(value);

function checked<T>(topic: string, body: Uint8Array, fields: Record<string, Check>): T {
  const value = decode(body);
  if (value === null || typeof value !== "object" || Array.isArray(value) || value instanceof Uint8Array)
    throw new WireError(`a ${topic} message is not a map`);
  if (typeof value.v !== "string" || value.v.split(".")[0] !== VERSION.split(".")[0])
    throw new WireError(`the server speaks schema ${String(value.v)}, this page ${VERSION}: reload the page`);
  for (const [name, fits] of Object.entries(fields))
    if (!fits(value[name])) throw new WireError(`a ${topic} message has no usable field "${name}"`);
  return value as unknown as T;
}
