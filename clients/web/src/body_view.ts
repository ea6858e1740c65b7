/**
 * The 3D view: bones between joint centres in the world frame (OpenSim's: y up), a floor, the joints' axes, and a ghost
 * of uncertainty: a translucent cone around each bone that is as wide at its far end as one standard deviation of the
 * joint angles that swing it.
 *
 * Drawn only when something has changed.
 */

import * as THREE from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";

import { BodyMesh, drawnByProcessor } from "./body_mesh";
import type { Surface } from "./body_surface";
import { CameraFrame, turned } from "./camera_frame";
import { DrawPace } from "./draw_pace";
import type { Meta, Person, Pose } from "./schema";
import { confidenceColour, confidences, SIDE_COLOURS, type Skeleton, skeletonOf, swingSigmas } from "./skeleton";

export interface BodyLayers {
  axes: boolean;
  ghost: boolean;
  confidence: boolean;
  surface: boolean;
}

export type Standpoint = "front" | "side" | "top" | "corner";

interface Colours {
  background: number;
  grid: number;
  gridMain: number;
  skin: number;
  centre: string;
  left: string;
  right: string;
}

const DARK: Colours = {
  background: 0x10151c, grid: 0x222b36, gridMain: 0x36434f, skin: 0x8fa6bd, centre: SIDE_COLOURS.c, left: SIDE_COLOURS.l,
  right: SIDE_COLOURS.r,
};
const LIGHT: Colours = {
  background: 0xeef1f5, grid: 0xd7dde4, gridMain: 0xb9c3cd, skin: 0xb9c9da, centre: "#48525e", left: "#1769d1", right: "#d0620a",
};

const MOST_PEOPLE = 4;
const PACE_MS = 30; // between two looks whether the view may be drawn again
const BONE_RADIUS = 0.018;
const JOINT_RADIUS = 0.028;
const AXIS_LENGTH = 0.09;
const FLOOR_UNDER_FOOT = 0.02; // m, a joint centre of the foot above the sole
const FLOOR_RISES_S = 4;
const FOLLOWS_S = 0.5;
const WIDEST_SIGMA = Math.tan(0.7);
const UP = new THREE.Vector3(0, 1, 0);

export class BodyView {
  readonly layers: BodyLayers = { axes: false, ghost: true, confidence: false, surface: false };
  chosen: number | null = null;
  private readonly renderer: THREE.WebGLRenderer;
  private readonly scene = new THREE.Scene();
  private readonly camera = new THREE.PerspectiveCamera(35, 1, 0.05, 60);
  private readonly controls: OrbitControls;
  private readonly frame = new CameraFrame();
  private grid = new THREE.GridHelper();
  private colours = DARK;
  private skeleton: Skeleton | null = null;
  private bones: THREE.InstancedMesh | null = null;
  private joints: THREE.InstancedMesh | null = null;
  private ghosts: THREE.InstancedMesh | null = null;
  private axes: THREE.LineSegments | null = null;
  private mesh: BodyMesh | null = null;
  private meshFits = false;
  private meta: Meta | null = null;
  private pose: Pose | null = null;
  private placed = false;
  private floor = 0;
  private lastFollow = 0;
  private wanted = false;
  private dirty = false;
  private hurried = false;
  private readonly pace: DrawPace;
  /** Whether a processor does the graphics' work: then the surface costs what the live picture needs. */
  readonly slow: boolean;

  /** Throws when the browser has no WebGL. */
  constructor(private readonly canvas: HTMLCanvasElement) {
    this.slow = processorDraws();
    // Smooth edges cost a processor several times the pixels.
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: !this.slow });
    this.pace = new DrawPace(this.renderer.getContext() as WebGL2RenderingContext, this.slow);
    this.renderer.setPixelRatio(this.slow ? 1 : Math.min(window.devicePixelRatio || 1, 2));
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0x8090a0, 2.1));
    const sun = new THREE.DirectionalLight(0xffffff, 1.6);
    sun.position.set(2, 4, 1.5);
    this.scene.add(sun, this.grid);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = false;
    this.controls.minDistance = 0.6;
    this.controls.maxDistance = 20;
    this.controls.addEventListener("change", () => this.hurry());
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.request()).observe(canvas);
    this.look("corner");
  }

  /** -> whether the surface is of the body that this run poses. */
  setSurface(surface: Surface): boolean {
    this.mesh = new BodyMesh(surface, this.scene);
    this.meshFits = this.meta !== null && this.mesh.setMeta(this.meta);
    this.refresh();
    return this.meshFits;
  }

  setTheme(dark: boolean): void {
    this.colours = dark ? DARK : LIGHT;
    this.scene.background = new THREE.Color(this.colours.background);
    this.scene.remove(this.grid);
    this.grid.dispose();
    this.grid = new THREE.GridHelper(8, 16, this.colours.gridMain, this.colours.grid);
    this.grid.position.y = this.floor;
    this.scene.add(this.grid);
    this.refresh();
  }

  setMeta(meta: Meta): void {
    this.skeleton = skeletonOf(meta);
    this.meta = meta;
    this.meshFits = this.mesh?.setMeta(meta) ?? false;
    for (const mesh of [this.bones, this.joints, this.ghosts, this.axes]) {
      if (mesh === null) continue;
      this.scene.remove(mesh);
      mesh.geometry.dispose();
    }
    const bones = this.skeleton.bones.length * MOST_PEOPLE;
    const bodies = this.skeleton.centres.length * MOST_PEOPLE;
    const solid = new THREE.MeshStandardMaterial({ roughness: 0.55, metalness: 0.05 });
    const mist = new THREE.MeshBasicMaterial({ transparent: true, opacity: 0.22, depthWrite: false });
    this.bones = new THREE.InstancedMesh(new THREE.CylinderGeometry(BONE_RADIUS * 0.8, BONE_RADIUS, 1, 10), solid, bones);
    this.joints = new THREE.InstancedMesh(new THREE.SphereGeometry(JOINT_RADIUS, 14, 10), solid, bodies);
    // Narrow end at the joint that turns, wide end where its error carries to.
    this.ghosts = new THREE.InstancedMesh(new THREE.CylinderGeometry(1, 0.25, 1, 16, 1, true), mist, bones);
    const lines = new THREE.BufferGeometry();
    lines.setAttribute("position", new THREE.BufferAttribute(new Float32Array(bodies * 18), 3));
    const colours = new Float32Array(bodies * 18);
    for (let i = 0; i < bodies; i++)
      for (let axis = 0; axis < 3; axis++)
        for (let end = 0; end < 2; end++) colours.set(AXIS_COLOURS[axis]!, i * 18 + axis * 6 + end * 3);
    lines.setAttribute("color", new THREE.BufferAttribute(colours, 3));
    this.axes = new THREE.LineSegments(lines, new THREE.LineBasicMaterial({ vertexColors: true }));
    for (const mesh of [this.bones, this.joints, this.ghosts, this.axes]) {
      mesh.frustumCulled = false;
      this.scene.add(mesh);
    }
    this.frame.reset();
    this.placed = false;
    this.refresh();
  }

  show(pose: Pose): void {
    this.pose = pose;
    this.refresh();
  }

  /** Looks at the person from one of the usual sides. */
  look(from: Standpoint): void {
    const target = this.controls.target;
    const way = { front: [1, 0.12, 0], side: [0, 0.12, 1], top: [0.02, 1, 0], corner: [0.82, 0.3, 0.55] }[from];
    this.camera.position.copy(target).addScaledVector(new THREE.Vector3(...way).normalize(), 3.9);
    this.controls.update();
    this.hurry();
  }

  /** Draws now, so that the canvas can be copied. */
  drawNow(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (width === 0 || height === 0) return;
    const size = this.renderer.getSize(new THREE.Vector2());
    if (size.x !== width || size.y !== height) {
      this.renderer.setSize(width, height, false);
      this.camera.aspect = width / height;
      this.camera.updateProjectionMatrix();
    }
    const began = performance.now();
    if (this.dirty && this.pose !== null && this.skeleton !== null)
      this.place(this.pose.people.slice(0, MOST_PEOPLE), this.skeleton);
    this.dirty = false;
    this.renderer.render(this.scene, this.camera);
    this.pace.drawn(began);
  }

  refresh(): void {
    this.dirty = true;
    this.request();
  }

  private hurry(): void {
    this.hurried = true;
    this.request();
  }

  /** Draws as soon as the pace allows. */
  private request(): void {
    if (this.wanted) return;
    this.wanted = true;
    const tick = () => {
      if (!this.pace.ready(performance.now(), this.hurried)) {
        setTimeout(() => requestAnimationFrame(tick), this.hurried ? 0 : PACE_MS);
        return;
      }
      this.wanted = this.hurried = false;
      this.drawNow();
    };
    requestAnimationFrame(tick);
  }

  private place(people: Person[], skeleton: Skeleton): void {
    const { bones, joints, ghosts, axes } = this;
    if (bones === null || joints === null || ghosts === null || axes === null) return;
    bones.count = joints.count = ghosts.count = 0;
    let lines = 0;
    this.mesh?.hide();
    for (const [number, person] of people.entries()) {
      const rotation = this.frame.update(person, skeleton);
      const at = person.joints.map((joint) => new THREE.Vector3(...turned(rotation, joint)));
      this.follow(person, at, skeleton);
      const sure = confidences(skeleton, person);
      const sigmas = swingSigmas(skeleton, person);
      const pale = this.chosen !== null && this.chosen !== person.id;
      const colour = (body: number) => this.colourOf(body, sure[body] ?? 0, skeleton, pale);
      if (this.layers.surface && this.meshFits)
        this.mesh?.show(number, person, rotation, (body) => this.skinColour(sure[body] ?? person.confidence), pale);
      skeleton.centres.forEach((joint, body) => {
        const centre = at[joint];
        if (centre === undefined) return;
        joints.setMatrixAt(joints.count, MATRIX.makeTranslation(centre));
        joints.setColorAt(joints.count++, colour(body));
        lines = this.axes3(axes, lines, centre, person.bodies[body]);
      });
      for (const bone of skeleton.bones) {
        const [from, to] = [at[bone.from], at[bone.to]];
        if (from === undefined || to === undefined) continue;
        const along = to.clone().sub(from);
        const length = along.length();
        if (length < 1e-4) continue;
        const middle = from.clone().addScaledVector(along, 0.5);
        TURN.setFromUnitVectors(UP, along.divideScalar(length));
        const child = colour(skeleton.centres.indexOf(bone.to));
        bones.setMatrixAt(bones.count, MATRIX.compose(middle, TURN, SCALE.set(1, length, 1)));
        bones.setColorAt(bones.count++, child);
        const sigma = sigmas[skeleton.centres.indexOf(bone.from)] ?? 0;
        if (!this.layers.ghost || !(sigma > 0)) continue;
        const wide = BONE_RADIUS + length * Math.min(Math.tan(Math.min(sigma, 1)), WIDEST_SIGMA);
        ghosts.setMatrixAt(ghosts.count, MATRIX.compose(middle, TURN, SCALE.set(wide, length, wide)));
        ghosts.setColorAt(ghosts.count++, child);
      }
    }
    axes.geometry.setDrawRange(0, this.layers.axes ? lines * 2 : 0);
    axes.geometry.getAttribute("position").needsUpdate = true;
    for (const mesh of [bones, joints, ghosts]) {
      mesh.instanceMatrix.needsUpdate = true;
      if (mesh.instanceColor !== null) mesh.instanceColor.needsUpdate = true;
    }
  }

  /** Keeps the person in view and the floor under the lower foot. */
  private follow(person: Person, at: THREE.Vector3[], skeleton: Skeleton): void {
    if (this.chosen !== null && this.chosen !== person.id) return;
    const pelvis = at[skeleton.centres[0] ?? 0];
    if (pelvis === undefined) return;
    const lowest = Math.min(...skeleton.centres.map((joint) => at[joint]?.y ?? Infinity)) - FLOOR_UNDER_FOOT;
    // A lower foot is the floor at once; a higher one may be a jump, so the floor follows up slowly.
    const now = performance.now();
    const passed = (now - this.lastFollow) / 1000;
    this.lastFollow = now;
    const share = (seconds: number) => (this.placed ? 1 - Math.exp(-passed / seconds) : 1);
    this.floor = lowest < this.floor ? lowest : this.floor + (lowest - this.floor) * share(FLOOR_RISES_S);
    this.grid.position.set(Math.round(pelvis.x), this.floor, Math.round(pelvis.z));
    const shift = pelvis.clone().sub(this.controls.target).multiplyScalar(share(FOLLOWS_S));
    this.controls.target.add(shift);
    this.camera.position.add(shift);
    this.camera.lookAt(this.controls.target);
    this.placed = true;
  }

  private colourOf(body: number, sure: number, skeleton: Skeleton, pale: boolean): THREE.Color {
    if (this.layers.confidence) COLOUR.set(`rgb(${confidenceColour(sure).join(",")})`);
    else COLOUR.set(this.colours[{ l: "left", r: "right", c: "centre" }[skeleton.sides[body] ?? "c"] as "left"]);
    return pale ? COLOUR.lerp(new THREE.Color(this.colours.background), 0.6) : COLOUR;
  }

  private skinColour(sure: number): THREE.Color {
    if (!this.layers.confidence) return COLOUR.set(this.colours.skin);
    return COLOUR.set(`rgb(${confidenceColour(sure).join(",")})`);
  }

  private axes3(axes: THREE.LineSegments, line: number, centre: THREE.Vector3, turn: number[] | undefined): number {
    if (turn === undefined || turn.length !== 4) return line;
    const positions = axes.geometry.getAttribute("position") as THREE.BufferAttribute;
    TURN.set(turn[0]!, turn[1]!, turn[2]!, turn[3]!);
    for (let axis = 0; axis < 3; axis++) {
      const tip = new THREE.Vector3().setComponent(axis, AXIS_LENGTH).applyQuaternion(TURN).add(centre);
      positions.setXYZ((line + axis) * 2, centre.x, centre.y, centre.z);
      positions.setXYZ((line + axis) * 2 + 1, tip.x, tip.y, tip.z);
    }
    return line + 3;
  }

  /** Arrow keys turn the view, plus and minus go nearer and farther. */
  private onKey(event: KeyboardEvent): void {
    const way = this.camera.position.clone().sub(this.controls.target);
    const round = new THREE.Spherical().setFromVector3(way);
    const step = Math.PI / 24;
    switch (event.key) {
      case "ArrowLeft": round.theta -= step; break;
      case "ArrowRight": round.theta += step; break;
      case "ArrowUp": round.phi -= step; break;
      case "ArrowDown": round.phi += step; break;
      case "+": case "=": round.radius /= 1.15; break;
      case "-": round.radius *= 1.15; break;
      default: return;
    }
    event.preventDefault();
    round.radius = Math.min(Math.max(round.radius, this.controls.minDistance), this.controls.maxDistance);
    round.makeSafe();
    this.camera.position.copy(this.controls.target).add(new THREE.Vector3().setFromSpherical(round));
    this.controls.update();
    this.hurry();
  }
}

/** Whether WebGL is drawn by a processor here; asked of a context of its own, since the answer decides how to make one. */
function processorDraws(): boolean {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (gl === null) return false; // the view says that there is none
  const found = drawnByProcessor(gl);
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return found;
}

const AXIS_COLOURS = [[0.93, 0.27, 0.27], [0.25, 0.75, 0.35], [0.3, 0.5, 0.98]] as const;
const MATRIX = new THREE.Matrix4();
const TURN = new THREE.Quaternion();
const SCALE = new THREE.Vector3();
const COLOUR = new THREE.Color();
