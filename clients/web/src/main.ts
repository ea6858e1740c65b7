/**
 * The viewer: puts the parts together. Messages come in here, and one clock draws.
 *
 * `?transport=websocket` in the address keeps the page off WebRTC.
 */

import { type Aligned, PoseBuffer, rtpTimestamp } from "./alignment";
import { AnglePanel } from "./angle_panel";
import { Api, type ReplayInfo } from "./api";
import { BodyView, type Standpoint } from "./body_view";
import { Calibration } from "./calibration";
import { Connection, type State } from "./connection";
import { HeldPictures } from "./held_pictures";
import { element, toggle } from "./page";
import { People } from "./people";
import { PerformancePanel } from "./performance_panel";
import { PictureView } from "./picture_view";
import { Replay } from "./replay";
import { RecordingButton } from "./recording_button";
import type { Meta, Pose } from "./schema";
import { takeScreenshot } from "./screenshot";
import { SurfaceButton } from "./surface_button";
import { StatusLine } from "./status_line";
import { Theme } from "./theme";
import { VideoStill } from "./video_still";
import { type Jpeg, parseMessage } from "./wire";

const PLOT_MS = 66; // between two drawings of the plots
const SLOW_PLOT_MS = 125; // the same where a processor does the graphics' work
const LATE_MS = 150; // a picture over the WebSocket waits this long for its pose
const ALONE_MS = 1500;
const PICTURES_MS = 600; // without pictures for this long, the 3D view follows the poses themselves

const address = new URLSearchParams(window.location.search);
const api = new Api(address.get("token") ?? "");
const poses = new PoseBuffer();
const held = new HeldPictures<VideoFrame | VideoStill>((rtp) => poses.at(rtp) !== null, draw);
const picture = new PictureView(element("picture", HTMLCanvasElement));
const body = openBodyView();
picture.slow = body?.slow !== false;
const angles = new AnglePanel();
const performancePanel = new PerformancePanel();
const people = new People(choose);
const connection = new Connection(
  api, element("video", HTMLVideoElement), { message, picture: showVideo, ended, state, replay: startReplay },
  address.get("transport") !== "websocket",
);
const replay = new Replay(api, element("video", HTMLVideoElement), {
  meta: message, show: showRecorded, past, lost: () => connection.replayLost(),
});
new Calibration(api, picture, () => people.current);
const status = new StatusLine(() => connection.retryNow());
const recording = new RecordingButton(api, (text) => status.say(text));
let session = "";
let metaText = "";
let lastPerson = performance.now();
let lastPicture = -Infinity;
let shownRtp: number | null = null;
let newestT = 0;
let newestAt = 0;
let complained = false;

function openBodyView(): BodyView | null {
  try {
    return new BodyView(element("body", HTMLCanvasElement));
  } catch {
    element("body-message", HTMLElement).hidden = false;
    return null;
  }
}

function state(now: State): void {
  status.state(now);
  recording.enabled = now.name === "live";
  element("calibrate", HTMLButtonElement).disabled = now.name !== "live";
  if (now.name === "live") void ask();
  if (now.name === "live" || now.name === "replay") surface.begin();
  if (now.name === "connecting") complained = false;
  if (now.name === "replay") for (const note of notes) status.say(note);
}

async function ask(): Promise<void> {
  const answer = await api.status().catch(() => null); // the connection says what is wrong with the server
  if (answer === null) return;
  if (answer.t !== null) performancePanel.clock.answer(answer.t, answer.roundTripMs, answer.wallMs);
  await recording.follow(answer);
}

function ended(): void {
  held.drop();
  poses.clear();
  performancePanel.reset();
  lastPicture = -Infinity;
  shownRtp = null;
  element("settling", HTMLElement).hidden = true;
}

function message(bytes: Uint8Array): void {
  try {
    const parsed = parseMessage(bytes);
    switch (parsed.topic) {
      case "pose": return takePose(parsed.pose);
      case "meta": return takeMeta(parsed.meta);
      case "health": return performancePanel.setHealth(parsed.health);
      case "jpeg":
        waiting = parsed.jpeg;
        return void showJpegs();
    }
  } catch (error) {
    // One bad message must not stop the page; the reason is said once.
    if (!complained) status.say(`A message could not be read: ${(error as Error).message}.`);
    complained = true;
  }
}

function takeMeta(meta: Meta): void {
  performancePanel.clock.set(meta.clock);
  const text = JSON.stringify([meta.body_names, meta.body_parents, meta.joint_names, meta.coordinate_names]);
  if (meta.session !== session) {
    session = meta.session;
    poses.clear();
    people.clear();
    performancePanel.reset();
  }
  if (text === metaText) return;
  metaText = text;
  picture.setMeta(meta);
  body?.setMeta(meta);
  people.setMeta(meta);
  angles.setMeta(meta);
}

function takePose(pose: Pose): void {
  document.dispatchEvent(new CustomEvent("biopose:pose", { detail: pose }));
  poses.add(pose);
  held.pose(performance.now());
  people.add(pose);
  performancePanel.pose(pose);
  const t = Number(pose.t_capture) / 1e9;
  if (t > newestT || t < newestT - 5) [newestT, newestAt] = [t, performance.now()];
  if (pose.people.length > 0) lastPerson = performance.now();
  // Its picture is already on the page, without a skeleton or with one that was guessed.
  if (shownRtp !== null && picture.shown?.exact !== true) {
    const aligned = poses.at(shownRtp);
    if (aligned !== null) {
      picture.setPose(aligned);
      if (aligned.exact) tellShown(aligned.pose);
      body?.show(aligned.pose);
    }
  }
  if (performance.now() - lastPicture > PICTURES_MS) body?.show(pose);
}

function shown(aligned: Aligned | null, rtp: number | null, drawn: Promise<void>): void {
  const now = performance.now();
  lastPicture = now;
  shownRtp = rtp;
  status.picture();
  status.nobody(now - lastPerson > ALONE_MS);
  if (aligned === null) return;
  if (aligned.exact) void drawn.then(() => tellShown(aligned.pose));
  body?.show(aligned.pose);
  sayWhetherSettled(aligned.pose);
}

/** The picture is drawn with its own pose. */
function tellShown(pose: Pose): void {
  performancePanel.picture(pose.t_capture);
  document.dispatchEvent(new CustomEvent("biopose:shown", { detail: pose }));
}

function sayWhetherSettled(pose: Pose): void {
  const person = pose.people.find((one) => one.id === people.current);
  const settling = element("settling", HTMLElement);
  settling.hidden = person === undefined || person.settled !== false;
  if (!settling.hidden) settling.textContent = `Measuring bones · ${Math.round((person?.calibrated ?? 0) * 100)} %`;
}

let notes: string[] = [];

async function startReplay(info: ReplayInfo): Promise<void> {
  notes = info.notes.length > 0 ? [info.notes.join(" ")] : [];
  await replay.start(info);
}

/** A moment of a recording. */
function showRecorded(pose: Pose | null, source: HTMLVideoElement | VideoFrame | null): void {
  status.picture();
  element("no-video", HTMLElement).hidden = source !== null;
  if (source !== null) void picture.show(source, pose === null ? null : { pose, exact: true });
  else if (pose !== null) picture.showAlone(pose);
  if (pose === null) return;
  people.add(pose);
  newestT = Number(pose.t_capture) / 1e9;
  body?.show(pose);
  sayWhetherSettled(pose);
}

function past(earlier: Pose[]): void {
  people.rewind();
  for (const pose of earlier) people.add(pose);
}

function showVideo(source: HTMLVideoElement | VideoFrame, rtp: number | null): void {
  if (rtp === null) draw(source, rtp);
  else held.take(source instanceof HTMLVideoElement ? new VideoStill(source) : source, rtp, performance.now());
}

function draw(from: HTMLVideoElement | VideoFrame | VideoStill, rtp: number | null): void {
  const source = from instanceof VideoStill ? from.source : from;
  // A browser that does not tell which frame it shows gets the newest pose: a few frames early at most.
  const latest = poses.latest;
  const aligned = rtp !== null ? poses.at(rtp) : latest === null ? null : { pose: latest, exact: false };
  shown(aligned, rtp, picture.show(source, aligned));
}

let waiting: Jpeg | null = null;
let decoding = false;

/** Shows the newest picture; those that came while one was being decoded are passed over. */
async function showJpegs(): Promise<void> {
  if (decoding) return;
  decoding = true;
  while (waiting !== null) {
    const jpeg: Jpeg = waiting;
    waiting = null;
    const blob = new Blob([jpeg.bytes as BlobPart], { type: "image/jpeg" });
    const bitmap = await createImageBitmap(blob).catch(() => null);
    if (bitmap === null) continue;
    const rtp = rtpTimestamp(jpeg.t_capture);
    const until = performance.now() + LATE_MS;
    while (poses.at(rtp) === null && performance.now() < until && waiting === null) await nextFrame();
    const aligned = poses.at(rtp);
    shown(aligned, rtp, picture.show(bitmap, aligned));
  }
  decoding = false;
}

// A hidden page gets no animation frames.
const nextFrame = () => new Promise((resolve) => setTimeout(resolve, 8));

function choose(): void {
  picture.chosen = people.chosen;
  picture.draw();
  if (body === null) return;
  body.chosen = people.chosen;
  body.refresh();
}

function drawPlots(): void {
  // Not at every frame of the screen: asking for one costs, whatever is drawn. A hidden page gets none.
  setTimeout(() => requestAnimationFrame(drawPlots), body?.slow === false ? PLOT_MS : SLOW_PLOT_MS);
  const now = performance.now();
  // Between two poses the plots move on with the clock, but not when the server is silent.
  angles.draw(people.history, newestT + (replay.open ? 0 : Math.min(now - newestAt, 250) / 1000));
}

function legend(byConfidence: boolean): void {
  const text = byConfidence
    ? '<span>unsure</span><span class="ramp"></span><span>sure</span>'
    : '<span><i class="left"></i>Left</span><span><i class="right"></i>Right</span><span><i class="centre"></i>Middle</span>';
  element("legend", HTMLElement).innerHTML = text;
}

const theme = new Theme((dark) => {
  element("theme", HTMLButtonElement).textContent = dark ? "Light" : "Dark";
  element("theme", HTMLButtonElement).setAttribute("aria-label", dark ? "Use light colours" : "Use dark colours");
  body?.setTheme(dark);
  angles.themeChanged();
});
element("theme", HTMLButtonElement).addEventListener("click", () => theme.toggle());

element("screenshot", HTMLButtonElement).addEventListener("click", () => {
  picture.draw();
  body?.drawNow();
  const canvases = [element("picture", HTMLCanvasElement)];
  if (body !== null) canvases.push(element("body", HTMLCanvasElement));
  takeScreenshot(canvases).catch((error: Error) => status.say(`No screenshot: ${error.message}.`));
});

for (const button of document.querySelectorAll<HTMLButtonElement>("[data-picture]"))
  toggle(button, (on) => {
    picture.layers[button.dataset.picture as "skeleton" | "keypoints" | "mirrored"] = on;
    picture.draw();
  });
for (const button of document.querySelectorAll<HTMLButtonElement>("[data-body]"))
  toggle(button, (on) => {
    if (body === null) return;
    body.layers[button.dataset.body as "ghost" | "axes"] = on;
    body.refresh();
  });
const surface = new SurfaceButton(api, body, (text) => status.say(text));
for (const button of document.querySelectorAll<HTMLButtonElement>("[data-look]"))
  button.addEventListener("click", () => body?.look(button.dataset.look as Standpoint));
toggle(element("confidence", HTMLButtonElement), (on) => {
  legend(on);
  picture.layers.confidence = on;
  picture.draw();
  if (body === null) return;
  body.layers.confidence = on;
  body.refresh();
});

legend(false);
recording.enabled = false;
connection.start();
drawPlots();
