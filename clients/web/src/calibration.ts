/**
 * Measures a person, led by sentences that can be read from three metres away: a full-screen dialog with a countdown,
 * one move after another, and what came of it.
 */

import type { Api } from "./api";
import { element } from "./page";
import type { PictureView } from "./picture_view";

export interface CalibrationNews {
  phase: "idle" | "measuring" | "computing" | "done" | "failed" | "cancelled";
  move?: number;
  left_s?: number;
  share?: number;
  seen?: boolean;
  sentences?: string[];
  good?: boolean;
  file?: string;
  command?: string;
  moves: { instruction: string; seconds: number }[];
}

const COUNTDOWN_S = 6;
const ASK_MS = 250;
const MIRROR_MS = 80;
const MIRROR_PX = 720;
const HEIGHT_M = [1.2, 2.3] as const;

export class Calibration {
  private readonly dialog = element("calibration", HTMLDialogElement);
  private readonly form = element("calibration-form", HTMLFormElement);
  private readonly stage = element("calibration-stage", HTMLElement);
  private readonly step = element("calibration-step", HTMLElement);
  private readonly title = element("calibration-title", HTMLElement);
  private readonly detail = element("calibration-detail", HTMLElement);
  private readonly number = element("calibration-number", HTMLElement);
  private readonly bar = element("calibration-bar", HTMLProgressElement);
  private readonly again = element("calibration-again", HTMLButtonElement);
  private readonly close = element("calibration-close", HTMLButtonElement);
  private readonly mirror = element("calibration-mirror", HTMLCanvasElement);
  private readonly height = element("calibration-height", HTMLInputElement);
  private readonly name = element("calibration-name", HTMLInputElement);
  private timer = 0;
  private mirrorTimer = 0;
  private busy = false; // a measurement goes on that this page began or found

  constructor(
    private readonly api: Api, private readonly picture: PictureView, private readonly person: () => number | null,
  ) {
    element("calibrate", HTMLButtonElement).addEventListener("click", () => void this.open());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.begin();
    });
    this.again.addEventListener("click", () => this.ask());
    this.close.addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.left());
  }

  private async open(): Promise<void> {
    this.dialog.showModal();
    this.mirrorTimer = window.setInterval(() => this.copyPicture(), MIRROR_MS);
    this.ask();
    // Another page may be measuring already.
    const news = await this.api.json<CalibrationNews>("GET", "/api/calibration").catch(() => null);
    if (news !== null && (news.phase === "measuring" || news.phase === "computing")) this.follow();
  }

  /** Shows what is about to happen, and asks for height and name. */
  private ask(): void {
    this.form.hidden = false;
    this.stage.hidden = true;
    this.again.hidden = true;
    this.close.textContent = "Cancel";
    this.dialog.dataset.mood = "";
  }

  private show(step: string, title: string, detail: string, number = ""): void {
    this.form.hidden = true;
    this.stage.hidden = false;
    // Only what has changed: a screen reader says it again otherwise.
    for (const [where, text] of [[this.step, step], [this.title, title], [this.detail, detail], [this.number, number]] as const)
      if (where.textContent !== text) where.textContent = text;
    this.number.hidden = number === "";
  }

  private begin(): void {
    const metres = Number(this.height.value.replace(",", "."));
    const height = this.height.value.trim() === "" ? null : metres > 100 ? metres / 100 : metres;
    if (height !== null && !(height >= HEIGHT_M[0] && height <= HEIGHT_M[1])) {
      this.height.setCustomValidity(`Between ${HEIGHT_M[0]} and ${HEIGHT_M[1]} metres, please.`);
      this.height.reportValidity();
      this.height.setCustomValidity("");
      return;
    }
    this.close.textContent = "Cancel";
    this.bar.hidden = true;
    let left = COUNTDOWN_S;
    const tick = () => {
      if (!this.dialog.open) return;
      if (left === 0) return void this.start(height);
      this.show("Get ready", "Step back until your head and feet are in the picture", "", String(left));
      left -= 1;
      this.timer = window.setTimeout(tick, 1000);
    };
    tick();
  }

  private async start(height: number | null): Promise<void> {
    this.busy = true;
    try {
      const asked = { person: this.person(), height, name: this.name.value.trim() };
      this.news(await this.api.json<CalibrationNews>("POST", "/api/calibration/start", asked));
      this.follow();
    } catch (error) {
      this.fail((error as Error).message);
    }
  }

  private follow(): void {
    this.busy = true;
    clearTimeout(this.timer);
    const ask = async () => {
      if (!this.dialog.open) return;
      try {
        this.news(await this.api.json<CalibrationNews>("GET", "/api/calibration"));
      } catch {
        this.fail("biopose-live does not answer any more");
      }
      if (this.busy) this.timer = window.setTimeout(() => void ask(), ASK_MS);
    };
    void ask();
  }

  private news(news: CalibrationNews): void {
    const move = news.moves[news.move ?? 0];
    this.bar.hidden = !(news.phase === "measuring" || news.phase === "computing");
    this.bar.value = news.share ?? 0;
    switch (news.phase) {
      case "measuring": {
        const seen = news.seen ?? false;
        this.dialog.dataset.mood = seen ? "" : "waiting";
        const detail = seen ? "" : "Waiting: step back until your head and feet are in the picture";
        const left = Math.ceil(news.left_s ?? move?.seconds ?? 0);
        this.show(`Step ${(news.move ?? 0) + 1} of ${news.moves.length}`, move?.instruction ?? "", detail, String(left));
        break;
      }
      case "computing":
        this.dialog.dataset.mood = "";
        this.show("Thank you", "Working out your bones…", "You can relax now.");
        break;
      case "done":
        this.busy = false;
        this.dialog.dataset.mood = news.good ? "good" : "poor";
        this.show(
          news.good ? "Done: in use from now on" : "Done, but not good",
          news.sentences?.[0] ?? "",
          [...(news.sentences ?? []).slice(1), `Kept in ${news.file ?? ""}. Next time: ${news.command ?? ""}`].join("\n"),
        );
        this.finished();
        break;
      case "failed":
        this.fail(news.sentences?.join(" ") ?? "");
        break;
      default:
        this.fail("The measurement was cancelled.");
    }
  }

  private fail(sentence: string): void {
    this.busy = false;
    this.bar.hidden = true;
    this.dialog.dataset.mood = "poor";
    this.show("Not measured", `${sentence.replace(/\.+$/, "")}.`, "");
    this.finished();
  }

  private finished(): void {
    this.again.hidden = false;
    this.close.textContent = "Close";
    this.close.focus();
  }

  private left(): void {
    clearTimeout(this.timer);
    clearInterval(this.mirrorTimer);
    if (this.busy) void this.api.json("POST", "/api/calibration/cancel", {}).catch(() => undefined);
    this.busy = false;
  }

  /** A mirror: one finds one's place in it by habit. */
  private copyPicture(): void {
    const [left, top, width, height] = this.picture.area;
    if (!(width >= 1 && height >= 1)) return;
    const scale = Math.min(1, MIRROR_PX / width);
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    if (this.mirror.width !== w || this.mirror.height !== h) [this.mirror.width, this.mirror.height] = [w, h];
    this.mirror.style.transform = this.picture.layers.mirrored ? "none" : "";
    const g = this.mirror.getContext("2d", { alpha: false });
    g?.drawImage(this.picture.canvas, left, top, width, height, 0, 0, w, h);
  }
}
