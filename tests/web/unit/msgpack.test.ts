// MessagePack against an encoder that is not ours: the cases are written by msgspec (see test_page_modules.py).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decode, MsgpackError, type Value } from "viewer/msgpack";

interface Case {
  packed: string;
  json: unknown;
}

const file = process.env.MSGPACK_CASES;
const cases: Case[] = file === undefined ? [] : JSON.parse(readFileSync(file, "utf-8"));

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));

/** As the cases are written: integers as text, so that JSON cannot round them. */
function plain(value: Value): unknown {
  if (typeof value === "bigint") return { int: value.toString() };
  if (typeof value === "number") return Number.isInteger(value) ? { int: BigInt(value).toString() } : value;
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString("hex") };
  if (Array.isArray(value)) return value.map(plain);
  if (value !== null && typeof value === "object")
    return { map: Object.entries(value).map(([key, item]) => [key, plain(item)]) };
  return value;
}

test("agrees with msgspec", { skip: file === undefined && "no cases: run through pytest" }, () => {
  assert.ok(cases.length > 100);
  for (const { packed, json } of cases) assert.deepEqual(plain(decode(bytes(packed))), json, packed);
});

test("every cut-off message is refused", () => {
  for (const { packed } of cases.slice(0, 60)) {
    const whole = bytes(packed);
    for (let length = 0; length < Math.min(whole.length, 200); length++)
      assert.throws(() => decode(whole.subarray(0, length)), MsgpackError);
  }
  assert.throws(() => decode(bytes("")), MsgpackError);
});

test("what no message holds is refused", () => {
  for (const bad of ["c1", "d40100", "c7010000", "81c0c0", "a1ff", "0000"])
    assert.throws(() => decode(bytes(bad)), MsgpackError, bad);
  assert.throws(() => decode(bytes("91".repeat(100) + "c0")), MsgpackError);
});

test("a huge length costs nothing", () => {
  for (const bad of ["ddffffffff", "dfffffffff", "dbffffffff", "c6ffffffff"])
    assert.throws(() => decode(bytes(bad)), MsgpackError);
});

test("a key cannot reach an object's prototype", () => {
  const value = decode(bytes("81a95f5f70726f746f5f5f81a178c3")) as Record<string, unknown>;
  assert.deepEqual(Object.keys(value), ["__proto__"]);
  assert.equal(({} as Record<string, unknown>).x, undefined);
});
