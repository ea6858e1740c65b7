/** What the page says about the connection, in plain words. */

import type { State } from "./connection";
import { element } from "./page";

export class StatusLine {
  private readonly line = element("state", HTMLElement);
  private readonly text = element("state-text", HTMLElement);
  private readonly message = element("message", HTMLElement);
  private readonly title = element("message-title", HTMLElement);
  private readonly detail = element("message-text", HTMLElement);
  private readonly retry = element("retry", HTMLButtonElement);
  private readonly notice = element("notice", HTMLElement);
  private noticeTimer = 0;
  private live = false;

  constructor(retryNow: () => void) {
    this.retry.addEventListener("click", retryNow);
  }

  /** Something the reader should know, for a while. */
  say(text: string): void {
    this.notice.textContent = text;
    this.notice.hidden = false;
    clearTimeout(this.noticeTimer);
    this.noticeTimer = window.setTimeout(() => (this.notice.hidden = true), 12_000);
  }

  state(state: State): void {
    this.line.dataset.state = state.name;
    this.live = state.name === "live" || state.name === "replay";
    this.notice.hidden = true; // what was said was about another moment
    switch (state.name) {
      case "connecting":
        this.show("Connecting…", "Connecting…", "");
        break;
      case "live":
        this.show(state.link === "webrtc" ? "Live" : "Live, without direct video", "Waiting for the first picture…", "");
        if (state.link === "websocket")
          this.say(
            (state.decodes
              ? "This network lets no direct video (WebRTC) through."
              : "This browser cannot decode direct video (H.264 over WebRTC).") +
              " Pictures come one by one over a WebSocket instead: a little later and coarser, with the same skeleton and " +
              "angles.",
          );
        break;
      case "replay":
        this.show(`Recording ${state.source}`, "Opening the recording…", "");
        break;
      case "lost":
        this.show(
          state.everLive ? "The server has gone away" : "The server does not answer",
          state.everLive ? "biopose-live has gone away" : "biopose-live does not answer",
          state.reason ?? "Is it still running? This page comes back by itself as soon as it is.",
          true,
        );
        break;
      case "refused":
        this.show(
          "This address is not valid",
          state.everLive ? "biopose-live was started anew" : "This address has no valid key",
          "Open the address that biopose-live printed in its terminal: it holds the key of this run.",
          true,
        );
    }
  }

  /** A picture is on the page. */
  picture(): void {
    if (this.live) this.message.hidden = true;
  }

  /** Nobody has been seen for a while. */
  nobody(alone: boolean): void {
    if (!this.live) return;
    this.message.classList.toggle("light", alone);
    this.message.hidden = !alone;
    if (alone) this.title.textContent = "Nobody in view";
  }

  private show(line: string, title: string, detail: string, retry = false): void {
    if (this.text.textContent !== line) this.text.textContent = line;
    this.title.textContent = title;
    this.detail.textContent = detail;
    this.retry.hidden = !retry;
    this.message.classList.remove("light");
    this.message.hidden = false;
  }
}
