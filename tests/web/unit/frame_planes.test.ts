// A frame made small: colours and places, against the equations in floating point.

import assert from "node:assert/strict";
import { test } from "node:test";

import { shrink } from "viewer/frame_planes";

const BT601 = [104597, 25675, 53279, 132201] as const;

/** I420 of a picture that is `colour` everywhere, but black left of `edge`. */
function planes(width: number, height: number, [y, u, v]: number[], edge = 0): Uint8Array {
  const quarter = (width / 2) * (height / 2);
  const data = new Uint8Array(width * height + 2 * quarter);
  for (let row = 0; row < height; row++)
    for (let x = 0; x < width; x++) data[row * width + x] = x < edge ? 16 : y!;
  data.fill(u!, width * height, width * height + quarter);
  data.fill(v!, width * height + quarter);
  return data;
}

function shrunk(data: Uint8Array, from: [number, number], to: [number, number]): Uint8ClampedArray {
  const image = { width: to[0], height: to[1], data: new Uint8ClampedArray(to[0] * to[1] * 4) };
  shrink(data, ...from, BT601, image);
  return image.data;
}

test("colours are those of BT.601", () => {
  for (const [y, u, v] of [[16, 128, 128], [235, 128, 128], [81, 90, 240], [145, 54, 34], [41, 240, 110], [120, 90, 170]]) {
    const [r, g, b, a] = shrunk(planes(8, 8, [y!, u!, v!]), [8, 8], [2, 2]);
    const light = ((y! - 16) * 255) / 219;
    const [cb, cr] = [((u! - 128) * 255) / 224, ((v! - 128) * 255) / 224];
    const expected = [light + 1.402 * cr, light - 0.344136 * cb - 0.714136 * cr, light + 1.772 * cb];
    for (const [found, exact] of [r, g, b].map((value, i) => [value!, Math.min(Math.max(expected[i]!, 0), 255)]))
      assert.ok(Math.abs(found! - exact!) <= 1.5, `${[y, u, v]}: ${[r, g, b]} instead of ${expected}`);
    assert.equal(a, 255);
  }
});

test("what is on the right stays there, in every size", () => {
  for (const to of [[3, 2], [8, 5], [16, 12]] as [number, number][]) {
    const pixels = shrunk(planes(16, 12, [235, 128, 128], 8), [16, 12], to);
    for (let y = 0; y < to[1]; y++) {
      assert.equal(pixels[y * to[0] * 4], 0, `${to}`);
      assert.equal(pixels[(y * to[0] + to[0] - 1) * 4], 255, `${to}`);
    }
  }
});
