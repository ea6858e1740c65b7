/** What both ways of receiving have in common. */

export interface Receiver {
  /** A message in the wire format. */
  message(bytes: Uint8Array): void;
  /** A picture is there to be drawn now; `rtp` is its timestamp, null when the browser does not tell. */
  picture(source: HTMLVideoElement | VideoFrame, rtp: number | null): void;
  /** The link was up and has ended. */
  ended(): void;
}

export interface Link {
  readonly kind: "webrtc" | "websocket";
  close(): void;
}
