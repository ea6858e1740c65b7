/**
 * WebRTC, signalled as WHEP (draft-ietf-wish-whep): POST the offer, take the answer, DELETE the session to leave.
 *
 * Video is only received; poses come over an unordered, unreliable data channel. No STUN server is asked: page and
 * server are on the same machine or network.
 */

import { type Api, NoDecoder, reason, Refused, ServerSays } from "./api";
import type { Link, Receiver } from "./link";

const CONNECT_MS = 4000;
const GATHER_MS = 700;

/** Resolves once poses can arrive; raises when no connection comes up in time, Refused for a wrong token. */
export async function openWhep(api: Api, video: HTMLVideoElement, receiver: Receiver): Promise<Link> {
  const peer = new RTCPeerConnection({ iceServers: [] });
  const channel = peer.createDataChannel("pose", { negotiated: true, id: 1, ordered: false, maxRetransmits: 0 });
  channel.binaryType = "arraybuffer";
  let session: string | null = null;
  let open = false;
  let closed = false;

  const close = () => {
    if (closed) return;
    closed = true;
    removeEventListener("pagehide", close);
    peer.close();
    video.srcObject = null;
    // keepalive: it must reach the server even while the page goes away.
    if (session !== null)
      void fetch(session, { method: "DELETE", headers: api.headers, keepalive: true }).catch(() => undefined);
  };
  const end = () => {
    if (closed) return;
    close();
    if (open) receiver.ended();
  };

  const transceiver = peer.addTransceiver("video", { direction: "recvonly" });
  peer.addEventListener("track", (event) => {
    // Show pictures as soon as they are there.
    if ("jitterBufferTarget" in event.receiver) event.receiver.jitterBufferTarget = 0;
    const show = () => {
      video.srcObject = new MediaStream([event.track]);
      void video.play().catch(() => undefined);
      watchPictures(video, receiver, () => closed);
    };
    void watchFrames(event.track, receiver, () => closed).then((dated) => {
      if (!dated && !closed) show();
    });
  });
  channel.addEventListener("message", (event) => receiver.message(new Uint8Array(event.data as ArrayBuffer)));
  addEventListener("pagehide", close);

  try {
    await within(CONNECT_MS, "no direct connection in time", async () => {
      preferH264(transceiver);
      await peer.setLocalDescription(await peer.createOffer());
      await gathered(peer);
      const answer = await fetch("/whep", {
        method: "POST",
        headers: { ...api.headers, "Content-Type": "application/sdp" },
        body: peer.localDescription?.sdp ?? "",
      });
      if (answer.status === 401 || answer.status === 403) throw new Refused("the token is wrong");
      if (answer.status === 503) throw new ServerSays(await reason(answer));
      if (answer.status === 406) throw new NoDecoder("this browser offers no H.264");
      if (answer.status !== 201) throw new Error(`the server answered ${answer.status} to the offer`);
      const location = answer.headers.get("Location");
      session = location === null ? null : new URL(location, window.location.href).href;
      if (closed) return;
      await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
      await opened(peer, channel);
    });
  } catch (error) {
    close();
    throw error;
  }
  open = true;
  peer.addEventListener("connectionstatechange", () => {
    if (peer.connectionState === "failed" || peer.connectionState === "closed") end();
  });
  channel.addEventListener("close", end);
  return { kind: "webrtc", close };
}

/** H.264 first: the server encodes nothing else by default. */
function preferH264(transceiver: RTCRtpTransceiver): void {
  const codecs = RTCRtpReceiver.getCapabilities?.("video")?.codecs;
  if (codecs === undefined || !("setCodecPreferences" in transceiver)) return;
  const first = codecs.filter((codec) => codec.mimeType.toLowerCase() === "video/h264");
  transceiver.setCodecPreferences([...first, ...codecs.filter((codec) => !first.includes(codec))]);
}

interface TrackProcessor {
  readable: ReadableStream<DatedFrame>;
}

/**
 * Takes the frames straight from the decoder, where the browser lets a page do so (Chromium) and they say which ones they
 * are: no element then shows every picture a second time, which a processor that does the graphics' work would feel, and
 * none is late by the element's own clock. -> whether it did, once it is over; at once when it does not.
 */
async function watchFrames(track: MediaStreamTrack, receiver: Receiver, over: () => boolean): Promise<boolean> {
  const Processor = (window as { MediaStreamTrackProcessor?: new (init: object) => TrackProcessor }).MediaStreamTrackProcessor;
  if (Processor === undefined) return false;
  const reader = new Processor({ track, maxBufferSize: 2 }).readable.getReader();
  for (;;) {
    const { value: frame, done } = await reader.read();
    if (done) return true;
    const rtp = frame.metadata?.().rtpTimestamp;
    if (over() || typeof rtp !== "number") {
      frame.close();
      await reader.cancel();
      return over();
    }
    if (!document.hidden) receiver.picture(frame, rtp);
    frame.close();
  }
}

/**
 * The callback says which frame was shown, but on a busy machine the element may already be at the next one. A copy of
 * the frame says itself which one it is; browsers make such copies on secure addresses (https, or this machine).
 */
function watchPictures(video: HTMLVideoElement, receiver: Receiver, over: () => boolean): void {
  const next = (_now: number, told: VideoFrameCallbackMetadata) => {
    if (over()) return;
    video.requestVideoFrameCallback(next);
    const frame = copied(video);
    if (frame === null) {
      receiver.picture(video, told.rtpTimestamp ?? null);
      return;
    }
    const known = frame.metadata?.().rtpTimestamp;
    receiver.picture(frame, typeof known === "number" ? known : (told.rtpTimestamp ?? null));
    frame.close();
  };
  video.requestVideoFrameCallback(next);
}

interface DatedFrame extends VideoFrame {
  metadata?(): { rtpTimestamp?: number };
}

/** -> a copy of the picture that the element shows, null when there is none or this browser makes none. */
export function copied(video: HTMLVideoElement): DatedFrame | null {
  if (typeof VideoFrame === "undefined") return null;
  try {
    return new VideoFrame(video);
  } catch {
    return null; // no frame to copy yet
  }
}

function gathered(peer: RTCPeerConnection): Promise<void> {
  return new Promise((resolve) => {
    if (peer.iceGatheringState === "complete") return resolve();
    setTimeout(resolve, GATHER_MS);
    peer.addEventListener("icegatheringstatechange", () => {
      if (peer.iceGatheringState === "complete") resolve();
    });
  });
}

function opened(peer: RTCPeerConnection, channel: RTCDataChannel): Promise<void> {
  return new Promise((resolve, reject) => {
    if (channel.readyState === "open") return resolve();
    channel.addEventListener("open", () => resolve());
    peer.addEventListener("connectionstatechange", () => {
      if (peer.connectionState === "failed") reject(new Error("no direct connection"));
    });
  });
}

function within<T>(ms: number, what: string, work: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(what)), ms);
    work().then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
