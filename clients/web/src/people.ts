/** Who is in view, whose angles are shown, and what each did in the last seconds. */

import { History } from "./history";
import { element } from "./page";
import type { Meta, Person, Pose } from "./schema";

const KEPT_SECONDS = 30;
const MOST_FPS = 60;
const FORGOTTEN_S = 30;

interface Known {
  history: History;
  last: number;
}

export class People {
  /** The person chosen by the reader; null: the surest one. */
  chosen: number | null = null;
  /** Whose angles are shown now. */
  current: number | null = null;
  private coordinates = 0;
  private readonly known = new Map<number, Known>();
  private readonly picker = element("person", HTMLSelectElement);
  private readonly field = element("person-field", HTMLElement);

  constructor(changed: () => void) {
    this.picker.addEventListener("change", () => {
      this.chosen = this.picker.value === "" ? null : Number(this.picker.value);
      if (this.chosen !== null) this.current = this.chosen;
      changed();
    });
  }

  setMeta(meta: Meta): void {
    if (meta.coordinate_names.length === this.coordinates) return;
    this.coordinates = meta.coordinate_names.length;
    this.clear();
  }

  clear(): void {
    this.known.clear();
    this.chosen = this.current = null;
    this.offer();
  }

  /** Forgets what was seen, not who was chosen: the recording was wound to another place. */
  rewind(): void {
    this.known.clear();
  }

  add(pose: Pose): void {
    if (this.coordinates === 0) return;
    const t = Number(pose.t_capture) / 1e9;
    let changed = false;
    for (const person of pose.people) {
      let known = this.known.get(person.id);
      if (known === undefined) {
        known = { history: new History(this.coordinates, KEPT_SECONDS * MOST_FPS), last: t };
        this.known.set(person.id, known);
        changed = true;
      }
      known.last = t;
      known.history.push(t, person.q, person.q_sigma);
    }
    for (const [id, { last }] of this.known) {
      if (t - last < FORGOTTEN_S || id === this.chosen) continue;
      this.known.delete(id);
      changed = true;
    }
    if (changed) this.offer();
    if (this.chosen === null) this.current = this.surest(pose.people)?.id ?? this.current;
  }

  /** The angles' last seconds of the person shown. */
  get history(): History | null {
    return this.current === null ? null : (this.known.get(this.current)?.history ?? null);
  }

  /** The person shown stays while in view: a picture of two must not switch to and fro. */
  private surest(people: Person[]): Person | undefined {
    return people.find((person) => person.id === this.current)
      ?? people.reduce<Person | undefined>((best, one) => (best && best.confidence >= one.confidence ? best : one), undefined);
  }

  private offer(): void {
    const ids = [...this.known.keys()].sort((a, b) => a - b);
    this.field.hidden = ids.length < 2;
    const options = [new Option("Automatic", ""), ...ids.map((id) => new Option(`Person ${id + 1}`, String(id)))];
    this.picker.replaceChildren(...options);
    this.picker.value = this.chosen === null ? "" : String(this.chosen);
  }
}
