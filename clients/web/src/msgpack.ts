/**
 * Decodes MessagePack (the format's specification, msgpack.org) into plain values.
 *
 * Integers beyond 2^53 come out as bigint. Extension types are refused: no message has any. A hostile message cannot ask
 * for more memory than it is long: every length is checked against the bytes that are left.
 */

export class MsgpackError extends Error {}

export type Value = null | boolean | number | bigint | string | Uint8Array | Value[] | { [key: string]: Value };

const DEEPEST = 32;
const text = new TextDecoder("utf-8", { fatal: true });

export function decode(bytes: Uint8Array): Value {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (reader.at !== bytes.length) throw new MsgpackError(`${bytes.length - reader.at} bytes follow the message`);
  return value;
}

class Reader {
  at = 0;
  private readonly view: DataView;

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  value(depth: number): Value {
    if (depth > DEEPEST) throw new MsgpackError(`nested deeper than ${DEEPEST}`);
    const head = this.view.getUint8(this.take(1));
    if (head <= 0x7f) return head;
    if (head <= 0x8f) return this.map(head & 0x0f, depth);
    if (head <= 0x9f) return this.array(head & 0x0f, depth);
    if (head <= 0xbf) return this.string(head & 0x1f);
    if (head >= 0xe0) return head - 0x100;
    switch (head) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.binary(this.view.getUint8(this.take(1)));
      case 0xc5: return this.binary(this.view.getUint16(this.take(2)));
      case 0xc6: return this.binary(this.view.getUint32(this.take(4)));
      case 0xca: return this.view.getFloat32(this.take(4));
      case 0xcb: return this.view.getFloat64(this.take(8));
      case 0xcc: return this.view.getUint8(this.take(1));
      case 0xcd: return this.view.getUint16(this.take(2));
      case 0xce: return this.view.getUint32(this.take(4));
      case 0xcf: return exact(this.view.getBigUint64(this.take(8)));
      case 0xd0: return this.view.getInt8(this.take(1));
      case 0xd1: return this.view.getInt16(this.take(2));
      case 0xd2: return this.view.getInt32(this.take(4));
      case 0xd3: return exact(this.view.getBigInt64(this.take(8)));
      case 0xd9: return this.string(this.view.getUint8(this.take(1)));
      case 0xda: return this.string(this.view.getUint16(this.take(2)));
      case 0xdb: return this.string(this.view.getUint32(this.take(4)));
      case 0xdc: return this.array(this.view.getUint16(this.take(2)), depth);
      case 0xdd: return this.array(this.view.getUint32(this.take(4)), depth);
      case 0xde: return this.map(this.view.getUint16(this.take(2)), depth);
      case 0xdf: return this.map(this.view.getUint32(this.take(4)), depth);
      default: throw new MsgpackError(`type 0x${head.toString(16)} is not used in messages`);
    }
  }

  /** -> where the next `count` bytes begin, and goes past them. */
  private take(count: number): number {
    const start = this.at;
    if (count > this.bytes.length - start) throw new MsgpackError("the message ends early");
    this.at = start + count;
    return start;
  }

  private string(length: number): string {
    const start = this.take(length);
    try {
      return text.decode(this.bytes.subarray(start, start + length));
    } catch {
      throw new MsgpackError("a string is not UTF-8");
    }
  }

  private binary(length: number): Uint8Array {
    const start = this.take(length);
    return this.bytes.slice(start, start + length);
  }

  private array(length: number, depth: number): Value[] {
    if (length > this.bytes.length - this.at) throw new MsgpackError("the message ends early");
    const out: Value[] = new Array(length);
    for (let i = 0; i < length; i++) out[i] = this.value(depth + 1);
    return out;
  }

  private map(length: number, depth: number): Value {
    if (2 * length > this.bytes.length - this.at) throw new MsgpackError("the message ends early");
    // Without a prototype a key such as "__proto__" is a key like any other.
    const out: { [key: string]: Value } = Object.create(null);
    for (let i = 0; i < length; i++) {
      const key = this.value(depth + 1);
      if (typeof key !== "string") throw new MsgpackError("a map's key is not a string");
      out[key] = this.value(depth + 1);
    }
    return out;
  }
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
