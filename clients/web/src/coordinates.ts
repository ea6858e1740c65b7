/**
 * Coordinates for people: `knee_angle_r` is the right side of "Knee flexion", in degrees.
 *
 * Left and right of the same name are one entry with two sides, so that they are compared in one plot.
 */

import { RANGES_DEG } from "./coordinate_ranges";
import type { Meta } from "./schema";

export type Side = "l" | "r" | "c";

export interface CoordinateSide {
  side: Side;
  /** Position in `q`. */
  index: number;
  name: string;
  range: readonly [number, number] | null;
}

export interface Entry {
  /** The name without its side, `knee_angle`. */
  key: string;
  title: string;
  group: string;
  unit: "°" | "cm";
  /** Factor from the wire's unit (rad, m) to `unit`. */
  factor: number;
  sides: CoordinateSide[];
}

const TITLES: Record<string, [title: string, group: string]> = {
  pelvis_rotation: ["Pelvis rotation", "Pelvis"],
  pelvis_list: ["Pelvis list", "Pelvis"],
  pelvis_tilt: ["Pelvis tilt", "Pelvis"],
  pelvis_tx: ["Pelvis forward", "Pelvis"],
  pelvis_ty: ["Pelvis height", "Pelvis"],
  pelvis_tz: ["Pelvis to the right", "Pelvis"],
  lumbar_extension: ["Lumbar extension", "Trunk"],
  lumbar_bending: ["Lumbar bending", "Trunk"],
  lumbar_rotation: ["Lumbar rotation", "Trunk"],
  thorax_extension: ["Thorax extension", "Trunk"],
  thorax_bending: ["Thorax bending", "Trunk"],
  thorax_rotation: ["Thorax rotation", "Trunk"],
  head_extension: ["Head extension", "Head"],
  head_bending: ["Head bending", "Head"],
  head_rotation: ["Head rotation", "Head"],
  hip_flexion: ["Hip flexion", "Leg"],
  hip_adduction: ["Hip adduction", "Leg"],
  hip_rotation: ["Hip rotation", "Leg"],
  knee_angle: ["Knee flexion", "Leg"],
  ankle_angle: ["Ankle dorsiflexion", "Leg"],
  subtalar_angle: ["Subtalar angle", "Leg"],
  mtp_angle: ["Toe extension", "Leg"],
  scapula_abduction: ["Scapula abduction", "Arm"],
  scapula_elevation: ["Scapula elevation", "Arm"],
  scapula_upward_rot: ["Scapula upward rotation", "Arm"],
  arm_flex: ["Shoulder flexion", "Arm"],
  arm_add: ["Shoulder adduction", "Arm"],
  arm_rot: ["Shoulder rotation", "Arm"],
  elbow_flex: ["Elbow flexion", "Arm"],
  pro_sup: ["Forearm pronation", "Arm"],
  wrist_flex: ["Wrist flexion", "Arm"],
  wrist_dev: ["Wrist deviation", "Arm"],
};

/** What is pinned for somebody who has not chosen yet; those that the skeleton has. */
export const FIRST_PINS = ["knee_angle", "hip_flexion", "elbow_flex", "arm_flex"];

export function split(name: string): [key: string, side: Side] {
  const match = /^(.+)_([lr])$/.exec(name);
  return match ? [match[1]!, match[2] as Side] : [name, "c"];
}

const GROUPS = ["Leg", "Arm", "Trunk", "Head", "Pelvis"];

function place(group: string): number {
  const at = GROUPS.indexOf(group);
  return at < 0 ? GROUPS.length : at;
}

/** -> one entry per coordinate, left and right together: limbs first, within a group in the order of the skeleton. */
export function entries(meta: Meta): Entry[] {
  const found = new Map<string, Entry>();
  meta.coordinate_names.forEach((name, index) => {
    const [key, side] = split(name);
    const metres = meta.coordinate_units[index] === "m";
    let entry = found.get(key);
    if (entry === undefined) {
      const [title, group] = TITLES[key] ?? [spoken(key), "Other"];
      entry = { key, title, group, unit: metres ? "cm" : "°", factor: metres ? 100 : 180 / Math.PI, sides: [] };
      found.set(key, entry);
    }
    entry.sides.push({ side, index, name, range: RANGES_DEG[name] ?? null });
  });
  for (const entry of found.values()) entry.sides.sort((a, b) => a.side.localeCompare(b.side));
  return [...found.values()].sort((a, b) => place(a.group) - place(b.group));
}

function spoken(key: string): string {
  const words = key.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** -> whether every word of the search is in the title, group or names. */
export function matches(entry: Entry, search: string): boolean {
  const sides = entry.sides.map((side) => `${side.name} ${SIDE_NAMES[side.side]}`).join(" ");
  const hay = `${entry.title} ${entry.group} ${sides}`.toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => hay.includes(word));
}

export const SIDE_NAMES: Record<Side, string> = { l: "left", r: "right", c: "" };

/** The joint's body, for a coordinate of the embedded skeleton's names: whose end it moves. */
const TURNS: [RegExp, string][] = [
  [/^pelvis_(rotation|list|tilt)/, "pelvis"],
  [/^lumbar_/, "lumbar"],
  [/^thorax_/, "thorax"],
  [/^head_/, "head"],
  [/^hip_/, "femur"],
  [/^knee_/, "tibia"],
  [/^ankle_/, "talus"],
  [/^subtalar_/, "calcn"],
  [/^mtp_/, "toes"],
  [/^scapula_/, "scapula"],
  [/^arm_(flex|add)/, "humerus"],
  [/^elbow_/, "ulna"],
  [/^wrist_/, "hand"],
];

/** -> for every body, the coordinates that swing it (not those that twist it about itself); empty when unknown. */
export function swings(meta: Meta): number[][] {
  const out: number[][] = meta.body_names.map(() => []);
  meta.coordinate_names.forEach((name, index) => {
    const [key, side] = split(name);
    if (meta.coordinate_units[index] === "m" || /^(hip|arm)_rot/.test(key)) return;
    const body = TURNS.find(([pattern]) => pattern.test(key))?.[1];
    if (body === undefined) return;
    const at = meta.body_names.indexOf(side === "c" ? body : `${body}_${side}`);
    if (at >= 0) out[at]!.push(index);
  });
  return out;
}
