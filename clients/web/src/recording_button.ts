/** Starts and stops a recording on the server, and downloads it. */

import type { Api, Status } from "./api";
import { save } from "./download";
import { element } from "./page";

export class RecordingButton {
  private readonly button = element("record", HTMLButtonElement);
  private readonly text = element("record-text", HTMLElement);
  private readonly downloading = element("download", HTMLButtonElement);
  private running: { id: string | null; since: number } | null = null;
  private finished: string | null = null;

  constructor(private readonly api: Api, private readonly say: (text: string) => void) {
    this.button.addEventListener("click", () => void this.press());
    this.downloading.addEventListener("click", () => void this.download());
    setInterval(() => this.write(), 500);
  }

  /** Takes over what the server is doing, after the page was loaded or came back. */
  async follow(status?: Status): Promise<void> {
    try {
      const { recording } = status ?? (await this.api.status());
      if (recording === null) this.running = null;
      else this.running ??= { id: recording, since: performance.now() };
    } catch {
      // The connection says what is wrong with the server.
      return;
    }
    this.write();
  }

  set enabled(value: boolean) {
    this.button.disabled = !value;
    this.downloading.disabled = !value;
  }

  private async press(): Promise<void> {
    this.button.disabled = true;
    try {
      if (this.running === null) {
        this.running = { id: await this.api.startRecording(), since: performance.now() };
        this.finished = null;
      } else {
        this.finished = (await this.api.stopRecording()) ?? this.running.id;
        this.running = null;
      }
    } catch (error) {
      this.say(`The recording could not be changed: ${sentence(error)}.`);
      await this.follow();
    } finally {
      this.button.disabled = false;
    }
    this.write();
  }

  private async download(): Promise<void> {
    if (this.finished === null) return;
    this.downloading.disabled = true;
    try {
      save(await this.api.download(this.finished), `biopose ${this.finished}.zip`);
    } catch (error) {
      this.say(`The recording could not be downloaded: ${sentence(error)}.`);
    } finally {
      this.downloading.disabled = false;
    }
  }

  private write(): void {
    this.button.setAttribute("aria-pressed", String(this.running !== null));
    this.downloading.hidden = this.finished === null;
    if (this.running === null) this.text.textContent = "Record";
    else {
      const seconds = Math.floor((performance.now() - this.running.since) / 1000);
      this.text.textContent = `Stop · ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    }
  }
}

function sentence(error: unknown): string {
  const text = error instanceof TypeError ? "the server cannot be reached" : String((error as Error).message);
  return text.replace(/\.+$/, "");
}
