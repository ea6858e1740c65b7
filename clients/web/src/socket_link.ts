/** The way round a network that lets no WebRTC through: the same messages, and pictures as JPEG, over a WebSocket. */

import type { Api } from "./api";
import type { Link, Receiver } from "./link";

const CONNECT_MS = 4000;

/** Resolves once the socket is open; raises when it does not open in time. */
export function openSocket(api: Api, receiver: Receiver): Promise<Link> {
  return new Promise((resolve, reject) => {
    const url = new URL("/ws", window.location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("token", api.token);
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    let open = false;
    let closed = false;
    const close = () => {
      closed = true;
      socket.close();
    };
    const timer = setTimeout(() => {
      close();
      reject(new Error("the server did not answer in time"));
    }, CONNECT_MS);
    socket.addEventListener("open", () => {
      clearTimeout(timer);
      open = true;
      resolve({ kind: "websocket", close });
    });
    socket.addEventListener("message", (event) => {
      if (!closed && event.data instanceof ArrayBuffer) receiver.message(new Uint8Array(event.data));
    });
    socket.addEventListener("close", () => {
      clearTimeout(timer);
      if (!open) reject(new Error("the server closed the connection"));
      else if (!closed) receiver.ended();
      closed = true;
    });
  });
}
