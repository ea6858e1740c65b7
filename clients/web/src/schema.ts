// The public wire format, schema v1. Made by schema_types.py from biopose_client/schema.py: change it there.

export const VERSION = "1.0";

/** One reading of both clocks at the same moment, to turn `t_capture` into wall time. */
export interface Clock {
  monotonic_ns: number | bigint;
  wall_ns: number | bigint;
}

/** The body file whose vertices `theta` and `betas` pose. */
export interface Mesh {
  file: string;
  vertices: number;
}

/** What made the numbers: the program and the models that it ran. */
export interface Versions {
  program: string;
  models?: Record<string, string>;
}

/** What every other message refers to by position; sent at start and each second for late joiners. */
export interface Meta {
  session: string;
  clock: Clock;
  joint_names: string[];
  coordinate_names: string[];
  coordinate_units: string[];
  body_names: string[];
  body_parents: number[];
  keypoint_names: string[];
  marker_names: string[];
  mesh: Mesh;
  versions: Versions;
  v: string;
}

/** Pinhole camera of a person's pose: focal length and principal point (px), the body's translation (m). */
export interface Camera {
  focal: number;
  centre: number[];
  translation: number[];
}

/** One tracked person in one frame. */
export interface Person {
  id: number;
  confidence: number;
  box: number[];
  keypoints: number[][];
  camera: Camera;
  joints: number[][];
  q: number[];
  q_sigma: number[];
  scales: number[][];
  bodies: number[][];
  root: number[];
  theta: number[][];
  betas: number[];
  settled?: boolean;
  calibrated?: number;
}

/** All people of one frame. */
export interface Pose {
  session: string;
  seq: number;
  t_capture: number | bigint;
  t_publish: number | bigint;
  image: number[];
  stages: Record<string, number>;
  dropped: number;
  people: Person[];
  v: string;
}

/** One process of the pipeline. */
export interface StageHealth {
  name: string;
  alive: boolean;
  restarts: number;
  fps: number;
  ms_p50: number;
  ms_p95: number;
  rss_mb?: number;
  cpu?: number;
}

/** The state of the pipeline, once a second. */
export interface Health {
  session: string;
  t: number | bigint;
  fps: number;
  latency_ms_p50: number;
  latency_ms_p95: number;
  captured: number;
  processed: number;
  dropped: number;
  stages: StageHealth[];
  v: string;
}
