/**
 * Keeps the page connected: WebRTC first, a WebSocket when that does not come up, and again and again when the server
 * goes away. Only a wrong token ends the attempts: it does not get right by trying.
 */

import { type Api, NoDecoder, Refused, type ReplayInfo, ServerSays } from "./api";
import { BackOff } from "./back_off";
import type { Link, Receiver } from "./link";
import { openSocket } from "./socket_link";
import { openWhep } from "./whep";

export type State =
  | { name: "connecting" }
  | { name: "live"; link: "webrtc" | "websocket"; decodes: boolean }
  | { name: "replay"; source: string }
  | { name: "lost"; everLive: boolean; reason: string | null }
  | { name: "refused"; everLive: boolean };

export interface Listener extends Receiver {
  state(state: State): void;
  /** The server shows a recording. Raises what the server or the network says. */
  replay(info: ReplayInfo): Promise<void>;
}

const SILENCE_MS = 6000; // health comes each second: this long without anything, and the server is gone
const WATCH_MS = 1000;

export class Connection {
  private link: Link | null = null;
  private everLive = false;
  private directWorks = true;
  private decodes = true;
  private lastHeard = 0;
  private timer = 0;
  private attempt = 0;
  private stopped = false;
  private readonly backOff = new BackOff();

  constructor(
    private readonly api: Api,
    private readonly video: HTMLVideoElement,
    private readonly listener: Listener,
    /** False: never WebRTC. */
    private readonly direct: boolean,
  ) {
    setInterval(() => this.watch(), WATCH_MS);
    addEventListener("online", () => this.retryNow());
  }

  start(): void {
    this.stopped = false;
    this.listener.state({ name: "connecting" });
    void this.connect();
  }

  /** Tries at once instead of when the wait is over. */
  retryNow(): void {
    if (this.link !== null) return;
    this.backOff.reset();
    this.start();
  }

  private async connect(): Promise<void> {
    clearTimeout(this.timer);
    const mine = ++this.attempt;
    const receiver: Receiver = {
      message: (bytes) => {
        if (mine !== this.attempt) return;
        this.lastHeard = performance.now();
        this.listener.message(bytes);
      },
      picture: (source, rtp) => {
        if (mine === this.attempt) this.listener.picture(source, rtp);
      },
      ended: () => {
        if (mine === this.attempt) this.lose();
      },
    };
    try {
      // Says whether the server is there and the token right, in one small answer.
      const { replay } = await this.api.status();
      if (replay !== null) {
        await this.listener.replay(replay);
        this.everLive = true;
        this.backOff.reset();
        this.listener.state({ name: "replay", source: replay.source });
        return;
      }
      const link = await this.open(receiver);
      if (mine !== this.attempt) return link.close();
      this.link = link;
      this.everLive = true;
      this.lastHeard = performance.now();
      this.backOff.reset();
      this.listener.state({ name: "live", link: link.kind, decodes: this.decodes });
    } catch (error) {
      if (mine !== this.attempt) return;
      if (error instanceof Refused) {
        this.stopped = true;
        this.listener.state({ name: "refused", everLive: this.everLive });
      } else this.lose(error instanceof ServerSays ? error.message : null);
    }
  }

  private async open(receiver: Receiver): Promise<Link> {
    if (this.direct && this.directWorks && "RTCPeerConnection" in window) {
      try {
        return await openWhep(this.api, this.video, receiver);
      } catch (error) {
        if (error instanceof Refused || error instanceof ServerSays) throw error;
        console.info("WebRTC did not come up:", error);
        // The server may have gone away meanwhile: only a socket that opens proves that UDP is what is missing.
        const link = await openSocket(this.api, receiver);
        this.directWorks = false;
        this.decodes = !(error instanceof NoDecoder);
        return link;
      }
    }
    return openSocket(this.api, receiver);
  }

  /** What `replay` began has ended: the server has gone. */
  replayLost(): void {
    this.lose();
  }

  private lose(reason: string | null = null): void {
    this.attempt += 1;
    this.link?.close();
    this.link = null;
    if (this.stopped) return;
    const wait = this.backOff.next();
    this.listener.ended();
    this.listener.state({ name: "lost", everLive: this.everLive, reason });
    this.timer = window.setTimeout(() => void this.connect(), wait);
  }

  private watch(): void {
    if (this.link !== null && performance.now() - this.lastHeard > SILENCE_MS) this.lose();
  }
}
