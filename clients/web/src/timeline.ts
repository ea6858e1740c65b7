/** The bar under a recording: play and pause, frame by frame, where it is, how fast. By mouse, finger and keyboard. */

import { element } from "./page";

export const TICKS = 90_000; // per second

export interface Player {
  play(on: boolean): void;
  seek(ticks: number): void;
  step(frames: number): void;
  speed(rate: number): void;
}

export class Timeline {
  private readonly root = element("timeline", HTMLElement);
  private readonly button = element("play", HTMLButtonElement);
  private readonly slider = element("seek", HTMLInputElement);
  private readonly text = element("time", HTMLElement);
  private readonly speed = element("speed", HTMLSelectElement);
  private player: Player | null = null;
  private playing = false;
  private position = 0;
  private end = 0;

  constructor() {
    this.button.addEventListener("click", () => this.player?.play(!this.playing));
    element("frame-back", HTMLButtonElement).addEventListener("click", () => this.player?.step(-1));
    element("frame-on", HTMLButtonElement).addEventListener("click", () => this.player?.step(1));
    this.slider.addEventListener("input", () => this.player?.seek(Number(this.slider.value)));
    this.speed.addEventListener("change", () => this.player?.speed(Number(this.speed.value)));
    document.addEventListener("keydown", (event) => this.key(event));
  }

  show(player: Player, end: number, frames: number): void {
    this.player = player;
    this.end = end;
    this.slider.max = String(end);
    this.slider.step = String(Math.max(1, Math.round(end / Math.max(frames - 1, 1))));
    this.root.hidden = false;
    document.body.dataset.mode = "replay";
    player.speed(Number(this.speed.value));
  }

  hide(): void {
    this.player = null;
    this.root.hidden = true;
    delete document.body.dataset.mode;
  }

  set(position: number, playing: boolean): void {
    this.position = position;
    if (playing !== this.playing) {
      this.playing = playing;
      this.button.dataset.playing = String(playing);
      this.button.setAttribute("aria-label", playing ? "Pause" : "Play");
    }
    if (Number(this.slider.value) !== position) this.slider.value = String(position);
    this.slider.style.setProperty("--share", `${(100 * position) / Math.max(this.end, 1)}%`);
    const now = `${clock(position)} / ${clock(this.end)}`;
    if (this.text.textContent === now) return;
    this.text.textContent = now;
    this.slider.setAttribute("aria-valuetext", `${clock(position)} of ${clock(this.end)}`);
  }

  private key(event: KeyboardEvent): void {
    if (this.player === null || event.ctrlKey || event.altKey || event.metaKey) return;
    const at = event.target as HTMLElement;
    const onSlider = at === this.slider;
    // Elsewhere these keys have a meaning of their own.
    if (!onSlider && at.closest("input, select, textarea, canvas, [role=dialog]") !== null) return;
    switch (event.key) {
      case " ":
        if (at.closest("button, a") !== null) return;
        this.player.play(!this.playing);
        break;
      case "ArrowLeft": case "ArrowRight":
        if (onSlider) return; // one frame, by itself
        this.player.seek(this.position + (event.key === "ArrowLeft" ? -TICKS : TICKS));
        break;
      case ",": this.player.step(-1); break;
      case ".": this.player.step(1); break;
      case "Home": this.player.seek(0); break;
      case "End": this.player.seek(this.end); break;
      default: return;
    }
    event.preventDefault();
  }
}

/** -> minutes:seconds.hundredths */
export function clock(ticks: number): string {
  const hundredths = Math.round((Math.max(ticks, 0) / TICKS) * 100);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${Math.floor(hundredths / 6000)}:${two(Math.floor(hundredths / 100) % 60)}.${two(hundredths % 100)}`;
}
