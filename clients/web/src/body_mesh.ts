/** People's surfaces in the 3D view: translucent, so that bones and the ghost of uncertainty are seen within. */

import * as THREE from "three";

import { bodiesOf, carried, shaped, type Surface } from "./body_surface";
import type { Rotation } from "./camera_frame";
import type { Meta, Person } from "./schema";

const OPACITY = 0.6;
const PALE = 0.2;
const SAME_BETA = 1e-3;

/** One person's surface: drawn twice, the depth first, so that the far side does not shine through. */
class Figure {
  readonly depth: THREE.SkinnedMesh;
  readonly skin: THREE.SkinnedMesh;
  private readonly bones: THREE.Bone[];
  private readonly positions: Float32Array;
  private readonly colours: Uint8Array;
  private rest: Float32Array;
  private betas: number[] = [];
  private painted = "";

  constructor(private readonly surface: Surface) {
    this.positions = new Float32Array(surface.template.length);
    this.colours = new Uint8Array(surface.template.length).fill(255);
    this.rest = shaped(surface, [], this.positions);
    this.bones = surface.parents.map(() => {
      const bone = new THREE.Bone();
      bone.matrixAutoUpdate = bone.matrixWorldAutoUpdate = false;
      return bone;
    });
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(this.positions, 3));
    geometry.setAttribute("color", new THREE.BufferAttribute(this.colours, 3, true));
    geometry.setAttribute("skinIndex", new THREE.BufferAttribute(surface.carriers, 4));
    geometry.setAttribute("skinWeight", new THREE.BufferAttribute(surface.weights, 4, true));
    geometry.setIndex(new THREE.BufferAttribute(surface.faces, 1));
    geometry.computeVertexNormals();
    const skeleton = new THREE.Skeleton(this.bones, this.bones.map(() => new THREE.Matrix4()));
    this.depth = new THREE.SkinnedMesh(geometry, new THREE.MeshBasicMaterial({ colorWrite: false }));
    this.skin = new THREE.SkinnedMesh(
      geometry,
      new THREE.MeshStandardMaterial({ transparent: true, opacity: OPACITY, roughness: 0.75, vertexColors: true }),
    );
    [this.depth, this.skin].forEach((mesh, order) => {
      mesh.bind(skeleton, new THREE.Matrix4());
      mesh.frustumCulled = false;
      mesh.renderOrder = 2 + order; // after the bones and the ghosts within
      mesh.visible = false;
    });
    (this.depth.material as THREE.Material).transparent = true; // to be drawn in that order
  }

  hide(): void {
    this.depth.visible = this.skin.visible = false;
  }

  show(person: Person, toWorld: Rotation, pale: boolean): void {
    if (person.betas.some((beta, k) => !(Math.abs(beta - (this.betas[k] ?? Infinity)) < SAME_BETA))) {
      this.betas = [...person.betas];
      this.rest = shaped(this.surface, this.betas, this.positions);
      this.skin.geometry.getAttribute("position").needsUpdate = true;
      this.skin.geometry.computeVertexNormals();
    }
    const rows = carried(this.surface, this.rest, person.theta, person.camera.translation);
    this.bones.forEach((bone, j) => {
      const row = (axis: number) => toWorld[axis]!;
      const e = bone.matrixWorld.elements;
      for (let axis = 0; axis < 3; axis++)
        for (let column = 0; column < 4; column++) {
          let sum = 0;
          for (let k = 0; k < 3; k++) sum += row(axis)[k]! * rows[12 * j + 4 * k + column]!;
          e[4 * column + axis] = sum;
        }
    });
    (this.skin.material as THREE.MeshStandardMaterial).opacity = pale ? PALE : OPACITY;
    this.depth.visible = this.skin.visible = true;
  }

  /** Colours each vertex by the joints that it hangs on. */
  paint(joints: THREE.Color[]): void {
    const wanted = joints.map((colour) => colour.getHex()).join();
    if (wanted === this.painted) return;
    this.painted = wanted;
    const { carriers, weights, vertices } = this.surface;
    for (let v = 0; v < vertices; v++) {
      let [r, g, b] = [0, 0, 0];
      for (let slot = 4 * v; slot < 4 * v + 4; slot++) {
        const colour = joints[carriers[slot]!]!;
        const weight = weights[slot]!;
        r += colour.r * weight;
        g += colour.g * weight;
        b += colour.b * weight;
      }
      this.colours[3 * v] = r;
      this.colours[3 * v + 1] = g;
      this.colours[3 * v + 2] = b;
    }
    this.skin.geometry.getAttribute("color").needsUpdate = true;
  }
}

export class BodyMesh {
  private readonly figures: Figure[] = [];
  private bodies: number[] = [];

  constructor(private readonly surface: Surface, private readonly scene: THREE.Scene) {}

  /** -> whether the surface is of the body that the messages pose. */
  setMeta(meta: Meta): boolean {
    this.bodies = bodiesOf(this.surface, meta.body_names);
    return meta.mesh.vertices === this.surface.vertices;
  }

  hide(): void {
    for (const figure of this.figures) figure.hide();
  }

  /** `colour` of a joint's body (a position in `body_names`, -1: of the whole person). */
  show(number: number, person: Person, toWorld: Rotation, colour: (body: number) => THREE.Color, pale: boolean): void {
    let figure = this.figures[number];
    if (figure === undefined) {
      figure = this.figures[number] = new Figure(this.surface);
      this.scene.add(figure.depth, figure.skin);
    }
    figure.show(person, toWorld, pale);
    figure.paint(this.bodies.map((body) => colour(body).clone()));
  }
}

/** -> whether a processor does the graphics' work here. */
export function drawnByProcessor(gl: WebGLRenderingContext | WebGL2RenderingContext): boolean {
  const told = gl.getExtension("WEBGL_debug_renderer_info");
  const name = String(gl.getParameter(told === null ? gl.RENDERER : told.UNMASKED_RENDERER_WEBGL));
  return /swiftshader|llvmpipe|software|basic render/i.test(name);
}
