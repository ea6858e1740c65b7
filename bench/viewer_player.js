// A player that is nothing else: takes video and poses by WHEP and notes when each arrived; run by bench/viewer.py.
async (token) => {
  const now = () => performance.timeOrigin + performance.now(); // ms, wall clock
  const found = { pictures: [], poses: [], size: [0, 0], state: "new" };
  window.found = found;
  const peer = new RTCPeerConnection({ iceServers: [] });
  const channel = peer.createDataChannel("pose", { negotiated: true, id: 1, ordered: false, maxRetransmits: 0 });
  channel.binaryType = "arraybuffer";
  // "pose " and a MessagePack map: a name is 0xa0 + its length and its letters, a time is 0xcf and 8 bytes.
  const time = (bytes, name) => {
    const key = [0xa0 + name.length, ...new TextEncoder().encode(name), 0xcf];
    outer: for (let i = 5; i < bytes.length - key.length - 8; i++) {
      for (let j = 0; j < key.length; j++) if (bytes[i + j] !== key[j]) continue outer;
      return String(new DataView(bytes.buffer).getBigUint64(i + key.length));
    }
    return null;
  };
  channel.onmessage = (event) => {
    const at = now();
    const bytes = new Uint8Array(event.data);
    if (String.fromCharCode(...bytes.subarray(0, 5)) !== "pose ") return;
    found.poses.push([time(bytes, "t_capture"), time(bytes, "t_publish"), at]);
  };
  const video = document.createElement("video");
  video.muted = true;
  document.body.append(video);
  peer.addTransceiver("video", { direction: "recvonly" });
  peer.ontrack = (event) => {
    if ("jitterBufferTarget" in event.receiver) event.receiver.jitterBufferTarget = 0;
    video.srcObject = new MediaStream([event.track]);
    video.play();
    const next = (_, frame) => {
      found.pictures.push([frame.rtpTimestamp, null, now()]);
      found.size = [video.videoWidth, video.videoHeight];
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  };
  peer.onconnectionstatechange = () => (found.state = peer.connectionState);
  await peer.setLocalDescription(await peer.createOffer());
  const answer = await fetch("/whep", {
    method: "POST",
    headers: { "Content-Type": "application/sdp", Authorization: `Bearer ${token}` },
    body: peer.localDescription.sdp,
  });
  if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`);
  await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
}
