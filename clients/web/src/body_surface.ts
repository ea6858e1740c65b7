/**
 * The body's surface as the server packs it (biopose_live/sinks/viewer/body_mesh.py says how), shaped by `betas` and
 * posed by `theta`: linear blend skinning, Loper et al. 2015, equations 6 to 10, in the camera frame.
 *
 * Letters: V vertices, J joints, K shape coefficients.
 */

export interface Surface {
  vertices: number;
  parents: number[];
  jointNames: string[];
  /** [V × 3] m, at rest, of the mean shape. */
  template: Float32Array;
  /** [J × 3] m. */
  joints: Float32Array;
  /** [K × J × 3] m per coefficient. */
  jointShape: Float32Array;
  /** [K] what a step of `shape` is, m. */
  shapeScale: Float32Array;
  /** [K × V × 3]. */
  shape: Int16Array;
  faces: Uint32Array;
  /** [V × 4] joints, and their weights in 255ths. */
  carriers: Uint8Array;
  weights: Uint8Array;
}

const ALIGNED = 8;
const KINDS = { f4: Float32Array, i2: Int16Array, u4: Uint32Array, u1: Uint8Array } as const;

interface Header {
  parents: number[];
  joint_names: string[];
  arrays: Record<string, { type: keyof typeof KINDS; shape: number[] }>;
}

/** Raises when the bytes are no surface. */
export function unpackSurface(bytes: Uint8Array): Surface {
  const content = bytes.slice().buffer; // so that the arrays are aligned
  const size = new DataView(content).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(content, 4, size))) as Header;
  let at = 4 + size;
  const arrays = new Map<string, Float32Array | Int16Array | Uint32Array | Uint8Array>();
  for (const [name, { type, shape }] of Object.entries(header.arrays)) {
    const count = shape.reduce((product, length) => product * length, 1);
    const array = new KINDS[type](content, at, count);
    arrays.set(name, array);
    at += Math.ceil(array.byteLength / ALIGNED) * ALIGNED;
  }
  const part = <T>(name: string, kind: new (...args: never[]) => T): T => {
    const found = arrays.get(name);
    if (!(found instanceof kind)) throw new Error(`the body's surface has no usable "${name}"`);
    return found as T;
  };
  const template = part("template", Float32Array);
  return {
    vertices: template.length / 3,
    parents: header.parents,
    jointNames: header.joint_names,
    template,
    joints: part("joints", Float32Array),
    jointShape: part("joint_shape", Float32Array),
    shapeScale: part("shape_scale", Float32Array),
    shape: part("shape", Int16Array),
    faces: part("faces", Uint32Array),
    carriers: part("carriers", Uint8Array),
    weights: part("weights", Uint8Array),
  };
}

/** Writes the rest positions [V × 3] of a shape into `positions`; -> its joint centres [J × 3] at rest. */
export function shaped(surface: Surface, betas: readonly number[], positions: Float32Array): Float32Array {
  positions.set(surface.template);
  const joints = surface.joints.slice();
  surface.shapeScale.forEach((scale, k) => {
    const beta = betas[k] ?? 0;
    const step = beta * scale;
    const shift = k * positions.length;
    for (let i = 0; i < positions.length; i++) positions[i]! += step * surface.shape[shift + i]!;
    for (let i = 0; i < joints.length; i++) joints[i]! += beta * surface.jointShape[k * joints.length + i]!;
  });
  return joints;
}

/**
 * -> [J × 12] for each joint the rows of [turn | shift] that carries points from rest to the pose, in the camera frame,
 * for `theta` [J][3] axis-angle (rad), the rest joints [J × 3] and the body's `translation` (m).
 */
export function carried(
  surface: Surface, rest: Float32Array, theta: readonly (readonly number[])[], translation: readonly number[],
): Float64Array {
  const joints = surface.parents.length;
  const turns = new Float64Array(9 * joints);
  const at = new Float64Array(3 * joints);
  const out = new Float64Array(12 * joints);
  for (let j = 0; j < joints; j++) {
    const parent = surface.parents[j]!;
    const own = turnOf(theta[j] ?? [0, 0, 0]);
    for (let row = 0; row < 3; row++) {
      if (parent < 0) {
        at[3 * j + row] = rest[3 * j + row]! + (translation[row] ?? 0);
        for (let k = 0; k < 3; k++) turns[9 * j + 3 * row + k] = own[3 * row + k]!;
        continue;
      }
      let shift = at[3 * parent + row]!;
      for (let k = 0; k < 3; k++) {
        const above = turns[9 * parent + 3 * row + k]!;
        shift += above * (rest[3 * j + k]! - rest[3 * parent + k]!);
        for (let column = 0; column < 3; column++) turns[9 * j + 3 * row + column]! += above * own[3 * k + column]!;
      }
      at[3 * j + row] = shift;
    }
    for (let row = 0; row < 3; row++) {
      let shift = at[3 * j + row]!;
      for (let k = 0; k < 3; k++) {
        const turn = turns[9 * j + 3 * row + k]!;
        out[12 * j + 4 * row + k] = turn;
        shift -= turn * rest[3 * j + k]!;
      }
      out[12 * j + 4 * row + 3] = shift;
    }
  }
  return out;
}

/** -> 9 numbers, by rows: Rodrigues' formula. */
function turnOf(vector: readonly number[]): number[] {
  const [x = 0, y = 0, z = 0] = vector;
  const angle = Math.hypot(x, y, z);
  const a = angle < 1e-6 ? 1 : Math.sin(angle) / angle;
  const b = angle < 1e-6 ? 0.5 : (1 - Math.cos(angle)) / (angle * angle);
  return [
    1 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y,
    b * x * y + a * z, 1 - b * (x * x + z * z), b * y * z - a * x,
    b * x * z - a * y, b * y * z + a * x, 1 - b * (x * x + y * y),
  ];
}

/** Which body of the skeleton speaks for the confidence in a joint of the surface (names without their side). */
const SPEAKS_FOR: Record<string, string> = {
  pelvis: "pelvis", spine1: "lumbar", spine2: "lumbar", spine3: "thorax", neck: "head", head: "head",
  hip: "femur", knee: "tibia", ankle: "talus", foot: "toes", collar: "scapula", shoulder: "humerus", elbow: "ulna",
  wrist: "hand", hand: "hand",
};

/** -> [J] positions in `bodyNames`, -1 where none speaks for a joint. */
export function bodiesOf(surface: Surface, bodyNames: readonly string[]): number[] {
  return surface.jointNames.map((joint) => {
    const side = joint.startsWith("left_") ? "_l" : joint.startsWith("right_") ? "_r" : "";
    const name = SPEAKS_FOR[joint.replace(/^(left|right)_/, "")];
    return name === undefined ? -1 : bodyNames.indexOf(name + side);
  });
}
