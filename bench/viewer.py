"""How late pictures and poses are on a page, and what viewers cost: live mode, watched by Chromium and by other peers.

    python bench/viewer.py                            480p and 720p, 1, 3 and 5 viewers
    python bench/viewer.py --quick                    720p, 1 and 3 viewers, short
    python bench/viewer.py --watched player           the video alone, without the page around it
    python bench/viewer.py --json bench/results/viewer.json

The first viewer is the page itself in a headless Chromium (without graphics hardware), with everything on it that a
reader sees at first: a picture counts from its capture until it is drawn on the page with its own skeleton.  Or it is a
"player": a bare tab that plays the video and notes when each picture is presented, as any WHEP player would; the page
adds the difference.  The others are peers that take everything and decode nothing.  All on one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import av
import msgspec
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from rich.table import Table

import result_file
from biopose_live.pipeline.clock import read_clocks
from biopose_live.sinks.viewer.encoding import rtp_timestamp
from browser_tab import BrowserFailed, Tab
from clip_720p import write_clip
from live_run import LONGEST_END_S, LONGEST_START_S, RunFailed, end, free_port, tail
from machine import Machine, describe, table_console

PROBE = Path(__file__).with_name("viewer_probe.js")
PLAYER = Path(__file__).with_name("viewer_player.js")
WATCHED = PAGE, PLAYED = "page", "player"
SHOWN = 'document.querySelector("#picture").style.getPropertyValue("--aspect")'
STATE = f'[Number({SHOWN}.split("/")[1]), document.querySelector("#state").innerText]'
PLAYER_STATE = "[found.size[1], found.state]"
HEIGHTS, VIEWERS = (480, 720), (1, 3, 5)
WARM_UP_S = 3.0


class Spread(msgspec.Struct):
    """Milliseconds."""

    p50: float
    p95: float
    count: int


class Result(msgspec.Struct):
    """One run.  CPU in percent of one core; `sinks` is the process that encodes and sends.  A picture is on the page
    when it is drawn with its own skeleton, in a player when it is presented."""

    watched: str
    height: int
    viewers: int
    shown_fps: float
    capture_to_picture: Spread
    capture_to_pose: Spread
    publish_to_pose: Spread
    sinks_cpu: float
    sinks_cpu_alone: float  # before anybody watched
    page_cpu: float  # Chromium, all its processes
    pipeline_fps: float


class Report(msgspec.Struct):
    """What `--json` writes."""

    bench: str
    machine: Machine
    settings: dict[str, Any]
    results: list[Result]


def spread(values: Sequence[float]) -> Spread:
    """-> percentiles of some milliseconds; raises ValueError when there are fewer than 20."""
    if len(values) < 20:
        raise ValueError(f"{len(values)} samples are too few")
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return Spread(round(cuts[9], 1), round(cuts[18], 1), len(values))


def latencies(found: dict[str, Any], offset_ms: float) -> tuple[Spread, Spread, Spread]:
    """What the probe noted -> capture to picture, capture to pose, publication to pose.

    `offset_ms`: wall clock minus monotonic clock.
    """
    pose = [at - offset_ms - int(t_capture) / 1e6 for t_capture, _, at in found["poses"]]
    published = [at - offset_ms - int(t_publish) / 1e6 for _, t_publish, at in found["poses"]]
    # A player knows pictures by the stamp of their packets, the page by their own capture time.
    captured = {rtp_timestamp(int(t_capture)): int(t_capture) for t_capture, _, _ in found["poses"]}
    pictures = [(int(name) if isinstance(name, str) else captured.get(name), at) for name, _, at in found["pictures"]]
    picture = [at - offset_ms - t_capture / 1e6 for t_capture, at in pictures if t_capture is not None]
    return spread(picture), spread(pose), spread(published)


def scaled(source: Path, height: int, target: Path) -> None:
    """Writes the video again with another height."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        video = reader.streams.video[0]
        width = round(video.width * height / video.height / 2) * 2
        stream = writer.add_stream("h264", rate=Fraction(30), options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in reader.decode(video):
            writer.mux(stream.encode(frame.reformat(width, height, "yuv420p")))
        writer.mux(stream.encode(None))


class Peer:
    """Takes all packets and poses and does nothing with them."""

    def __init__(self) -> None:
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connection.createDataChannel("pose", negotiated=True, id=1, ordered=False, maxRetransmits=0)
        receiver: Any = self._connection.addTransceiver("video", "recvonly").receiver
        receiver._handle_rtp_packet = self._drop

    async def _drop(self, packet: Any, arrival_time_ms: int) -> None:
        pass

    async def connect(self, web: aiohttp.ClientSession, base: str, bearer: dict[str, str]) -> None:
        await self._connection.setLocalDescription(await self._connection.createOffer())
        headers = {"Content-Type": "application/sdp", **bearer}
        offer = self._connection.localDescription.sdp
        async with web.post(f"{base}/whep", data=offer, headers=headers) as response:
            if response.status != 201:
                raise RunFailed(f"a viewer was refused: {await response.text()}")
            answer = RTCSessionDescription(await response.text(), "answer")
        await self._connection.setRemoteDescription(answer)

    async def close(self) -> None:
        await self._connection.close()


async def _watch(url: str, watched: str, height: int, viewers: int, seconds: float) -> Result:
    base, _, token = url.partition("/?token=")
    bearer = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as web, Tab() as tab:

        async def cpu_and_fps(samples: int) -> tuple[float, float]:
            seen = []
            for _ in range(samples):
                async with web.get(f"{base}/api/status", headers=bearer) as response:
                    status = await response.json()
                shares = {stage["name"]: stage["cpu"] for stage in status["stages"]}
                seen.append((100 * shares.get("sinks", 0.0), status["fps"]))
                await asyncio.sleep(1.0)
            return statistics.fmean(cpu for cpu, _ in seen), statistics.fmean(fps for _, fps in seen)

        alone, _ = await cpu_and_fps(3)
        if watched == PAGE:
            await tab.open(url)
            await tab.evaluate(f"({PROBE.read_text()})()")
        else:
            await tab.open(f"{base}/nothing-here")  # any address of the viewer's origin will do
            await tab.evaluate(f"({PLAYER.read_text()})({token!r})")
        others = [Peer() for _ in range(viewers - 1)]
        try:
            for peer in others:
                await peer.connect(web, base, bearer)
            await asyncio.sleep(WARM_UP_S)
            await tab.evaluate("found.pictures.length = found.poses.length = 0")
            clock = read_clocks()
            page_cpu, began = tab.cpu(), time.monotonic()
            cpu, fps = await cpu_and_fps(round(seconds))
            found = await tab.evaluate("found")
            page_cpu, took = tab.cpu() - page_cpu, time.monotonic() - began
            state = await tab.evaluate(STATE if watched == PAGE else PLAYER_STATE)
        finally:
            for peer in others:
                await peer.close()
    if state not in ([height, "Live"], [height, "connected"]):
        raise RunFailed(f"the {watched} shows a video of height {state[0]}, its state is {state[1]!r}")
    picture, pose, published = latencies(found, (clock.wall_ns - clock.monotonic_ns) / 1e6)
    stamps = [at for *_, at in found["pictures"]]
    shown = 1e3 * (len(stamps) - 1) / (stamps[-1] - stamps[0])
    return Result(
        watched=watched,
        height=height,
        viewers=viewers,
        shown_fps=round(shown, 1),
        capture_to_picture=picture,
        capture_to_pose=pose,
        publish_to_pose=published,
        sinks_cpu=round(cpu, 1),
        sinks_cpu_alone=round(alone, 1),
        page_cpu=round(100 * page_cpu / took, 1),
        pipeline_fps=round(fps, 1),
    )


def measure(video: Path, watched: str, height: int, viewers: int, seconds: float) -> Result:
    """-> figures of one run.  Raises RunFailed or BrowserFailed."""
    port = free_port()
    command = [sys.executable, "-m", "biopose_live.cli", "--video", str(video), "--publish", "off", "--headless"]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([*command, "--view", f"127.0.0.1:{port}"], stdout=output, stderr=output)
        try:
            url = asyncio.run(_started(process, output))
            result = asyncio.run(_watch(url, watched, height, viewers, seconds))
            process.send_signal(signal.SIGINT)
            process.wait(LONGEST_END_S)
        except (ValueError, aiohttp.ClientError) as error:
            raise RunFailed(f"{error}; biopose-live said: {tail(output)}") from error
        finally:
            end(process)
    return result


async def _started(process: subprocess.Popen[bytes], output: Any) -> str:
    """-> the viewer's address, once poses flow."""
    async with aiohttp.ClientSession() as web:
        for _ in range(round(LONGEST_START_S / 0.2)):
            await asyncio.sleep(0.2)
            if process.poll() is not None:
                raise RunFailed(f"biopose-live has ended: {tail(output)}")
            output.seek(0)
            url = next((line.split()[1] for line in output.read().splitlines() if line.startswith("Viewer: ")), None)
            if url is None:
                continue
            base, _, token = url.partition("/?token=")
            try:
                async with web.get(f"{base}/api/status", headers={"Authorization": f"Bearer {token}"}) as response:
                    if (await response.json())["processed"] > 0:
                        return str(url)
            except aiohttp.ClientError:
                continue
    raise RunFailed("the viewer does not answer")


def table_of(results: Sequence[Result]) -> Table:
    """-> one row for each run."""
    table = Table(title="Chromium on the same machine, ms (p50 / p95)", title_justify="left")
    for heading in ("watched", "video", "viewers", "capture → picture", "capture → pose", "publish → pose"):
        table.add_column(heading)
    for heading in ("shown, fps", "processed, fps", "sinks CPU, %", "unwatched, %", "page CPU, %"):
        table.add_column(heading, justify="right")
    for result in results:
        times = (result.capture_to_picture, result.capture_to_pose, result.publish_to_pose)
        table.add_row(
            result.watched,
            f"{result.height}p",
            str(result.viewers),
            *(f"{time.p50:.1f} / {time.p95:.1f}" for time in times),
            *(f"{n:.1f}" for n in (result.shown_fps, result.pipeline_fps)),
            *(f"{n:.1f}" for n in (result.sinks_cpu, result.sinks_cpu_alone, result.page_cpu)),
        )
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=15.0, help="measured seconds of each run (15)")
    parser.add_argument("--watched", choices=WATCHED, help="the page or a bare player only (both)")
    parser.add_argument("--quick", action="store_true", help="720p with 1 and 3 viewers, 6 s each")
    parser.add_argument("--json", type=Path, help="write everything measured into this file")
    given = parser.parse_args(arguments)
    seconds = 6.0 if given.quick else given.seconds
    if seconds < 3.0:
        parser.error(f"--seconds must be at least 3, not {seconds:g}")
    machine = describe()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        clips = {720: Path(folder) / "720p.mp4", 480: Path(folder) / "480p.mp4"}
        write_clip(clips[720], seconds + 60.0)
        if not given.quick:
            scaled(clips[720], 480, clips[480])
        try:
            for height in (720,) if given.quick else HEIGHTS:
                for viewers in VIEWERS[:2] if given.quick else VIEWERS:
                    for watched in (given.watched,) if given.watched else WATCHED:
                        if viewers == 1 or watched == (given.watched or PAGE):
                            results.append(measure(clips[height], watched, height, viewers, seconds))
        except (RunFailed, BrowserFailed) as error:
            print(error, file=sys.stderr)
            return 1
    console = table_console()
    console.print(table_of(results))
    console.print(f"{machine.cpu}, {machine.cores} cores, load {machine.load} before")
    if given.json is not None:
        report = Report("viewer", machine, {"seconds": seconds}, results)
        result_file.write(given.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
