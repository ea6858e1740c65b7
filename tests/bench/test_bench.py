"""The benchmarks' arguments, figures and files, on messages written by hand: nothing is timed here."""

from __future__ import annotations

import json
import math
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest
from rich.console import Console

import accuracy
import clip_720p
import pipeline
import recovery
import scored_clips
import without_warm_start
from biopose_client.schema import Health, StageHealth
from biopose_live.capture.demo import demo_clip
from biopose_live.errors import UserError
from biopose_live.evaluation.demo_truth import read_demo_truth
from figures import FEWEST_FRAMES, Figures, Result, Sample, figures, medians, percentiles
from machine import PACKAGES, describe
from outage import BLOWS, STAGES, Outage, write_loop

MS = 1_000_000


def samples(count: int, period_ms: float = 40.0, skip: int = 1, latency_ms: float = 100.0) -> list[Sample]:
    """Frames captured every `period_ms` / `skip`, each `skip`-th processed."""
    made = []
    for index in range(count):
        captured = 5_000_000_000 + round(index * period_ms * MS)
        done = captured + round((latency_ms + index % 2) * MS)
        stages = {"detection": 60.0, "mqhmr": 20.0 + index % 2}
        made.append(Sample(100 + index * skip, captured, done, done + 2 * MS, stages, index % 4 != 0))
    return made


def health(t: int, cpu: float) -> Health:
    stages = [
        StageHealth("capture", True, 0, 30.0, 1.0, 2.0, 100.0, cpu / 10),
        StageHealth("detection", True, 0, 25.0, 1.0, 2.0, 250.0, cpu),
    ]
    return Health("s", t, 25.0, 100.0, 120.0, 1, 1, 0, stages)


def run(latency_ms: float = 100.0) -> Figures:
    seen = samples(101, skip=2, latency_ms=latency_ms)
    return figures(seen, [health(1, 0.2), health(2, 0.6), health(3, 0.5)], {"supervisor": (0.01, 70.0)}, 4.0)


def test_figures_of_a_live_run() -> None:
    made = run()
    assert made.fps == pytest.approx(25.0)
    assert made.seconds == pytest.approx(4.0)
    assert (made.processed, made.dropped, made.with_person) == (101, 100, 75)
    assert (made.latency.p50, made.latency.p95, made.latency.count) == (100.0, 101.0, 101)
    assert made.received is not None
    assert made.received.p99 == 103.0
    assert made.stages["detection"].p50 == 60.0
    assert made.waiting is not None
    assert made.waiting.p50 == pytest.approx(20.0)
    assert made.cpu == {"supervisor": 0.01, "capture": pytest.approx(0.05), "detection": 0.5}
    assert made.memory_mb == {"supervisor": 70.0, "capture": 100.0, "detection": 250.0}


def test_too_few_frames_give_no_figures() -> None:
    with pytest.raises(ValueError, match=f"only {FEWEST_FRAMES - 1} frames"):
        figures(samples(FEWEST_FRAMES - 1), [], {}, 1.0)


def test_percentiles_are_samples() -> None:
    values = list(range(1, 101))
    assert percentiles(values) == percentiles(values[::-1])
    assert msgspec.structs.astuple(percentiles(values)) == (50.0, 95.0, 99.0, 100)


def test_medians_over_runs() -> None:
    runs = [run(100.0), run(140.0), run(90.0)]
    middle = medians(runs)
    assert middle.latency.p50 == 100.0
    assert middle.processed == 101
    peer = figures(samples(40), [], {"mediapipe": (0.6, 400.0)}, 1.0, subscribed=False)
    assert medians([peer, peer]).received is None


@pytest.fixture
def results() -> list[Result]:
    peer = figures(samples(101), [], {"mediapipe": (0.6, 400.0)}, 1.0, subscribed=False)
    return [Result(pipeline.OURS, "full", run(), [run()]), Result(pipeline.PEER, "full", peer, [peer])]


def test_the_speed_table_shows_both_systems(results: list[Result]) -> None:
    console = Console(width=120, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115 - the console writes on
    console.print(pipeline.table(results))
    text = console.export_text()
    for cell in ("25.0", "101 / 100", "100.0 / 101.0 / 101.0", "50%  250 MB", "60%  400 MB", "4.0 s"):
        assert cell in text


def test_the_speed_report_can_be_read_back(results: list[Result]) -> None:
    report = pipeline.Report("pipeline", describe(), {"seconds": 20.0, "runs": 3, "device": "cpu"}, results)
    data = msgspec.json.encode(report)
    assert msgspec.json.decode(data, type=pipeline.Report) == report
    plain = json.loads(data)
    assert set(PACKAGES) < set(plain["machine"]["versions"])
    assert plain["machine"]["cores"] >= 1
    assert plain["machine"]["cpu"]
    assert plain["results"][0]["median"]["latency"]["p95"] == 101.0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (["full"], 20.0, 3, "auto")),
        (["--quick"], (["full"], 8.0, 1, "auto")),
        (["--quick", "--seconds", "4", "--detector", "lite,heavy"], (["lite", "heavy"], 4.0, 1, "auto")),
        (["--runs", "5", "--device", "cuda"], (["full"], 20.0, 5, "cuda")),
    ],
)
def test_speed_arguments(arguments: list[str], expected: tuple[object, ...]) -> None:
    given = pipeline.parse(arguments)
    assert (given.detector, given.seconds, given.runs, given.device) == expected


@pytest.mark.parametrize("arguments", [["--detector", "huge"], ["--seconds", "1"], ["--runs", "0"], ["--nonsense"]])
def test_wrong_speed_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        pipeline.parse(arguments)
    assert end.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_the_720p_clip_has_the_demo_in_its_middle(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    clip_720p.write_clip(path, 0.2)
    with av.open(str(path)) as video, av.open(str(demo_clip())) as demo:
        stream = video.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        first = next(demo.decode(video=0)).to_ndarray(format="rgb24")
        assert (stream.width, stream.height, float(stream.average_rate)) == (1280, 720, 30.0)
        assert stream.codec_context.name == "h264"
    assert len(frames) == 6
    assert frames[0][:, :150].max() < 20
    assert frames[0][:, 160:1120].mean((0, 1)) == pytest.approx(first.mean((0, 1)), abs=3.0)


def test_the_loop_is_the_demo_over_and_over(tmp_path: Path) -> None:
    path = tmp_path / "loop.mp4"
    write_loop(path, 20.0)
    with av.open(str(path)) as video, av.open(str(demo_clip())) as demo:
        length = demo.streams.video[0].frames
        times = [frame.time for frame in video.decode(video=0)]
    assert len(times) == 2 * length
    assert np.diff(times) == pytest.approx(np.full(2 * length - 1, 1 / 30), abs=1e-4)


def test_the_recovery_table_and_report() -> None:
    outages = [
        Outage(stage, blow, 0.25, seconds, stage != "mqhmr")
        for stage in STAGES
        for blow in BLOWS
        for seconds in (1.0, 1.5, 3.25)
    ]
    console = Console(width=140, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115 - the console writes on
    console.print(recovery.table(outages))
    lines = [line for line in console.export_text().splitlines() if "kill -9" in line]
    assert len(lines) == len(STAGES)
    assert all(cell in lines[0] for cell in ("capture", "0.25", "1.50", "3.25", "2 of 3", "3 of 3"))
    assert "0 of 3" in lines[STAGES.index("mqhmr")]
    report = recovery.Report("recovery", describe(), 3.0, outages)
    assert msgspec.json.decode(msgspec.json.encode(report), type=recovery.Report) == report


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--rounds", "x"], ["--nonsense"]])
def test_wrong_recovery_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        recovery.main(arguments)
    assert end.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_sweeps_give_every_combination() -> None:
    given = accuracy.build_parser().parse_args(["--set", "refine-iterations=0,2", "--set", "detector=lite,full"])
    chosen = accuracy.variants(given.set)
    assert chosen == [
        {"refine_iterations": k, "detector": d} for k in ("0", "2") for d in ("lite", "full")
    ]  # fmt: skip
    assert accuracy.label(chosen[0]) == "biopose-live refine_iterations=0 detector=lite"
    assert accuracy.variants([]) == [{}]
    assert accuracy.label({}) == "biopose-live"


def test_the_ablation_takes_one_part_away_at_a_time() -> None:
    given = accuracy.build_parser().parse_args(["--ablation", "--set", "detector=full"])
    chosen = accuracy.chosen_variants(given)
    assert len(chosen) == len(accuracy.ABLATION)
    assert chosen[:3] == [
        {"detector": "full"}, {"detector": "full", "image": "off"}, {"detector": "full", "warm_start": "off"}
    ]  # fmt: skip
    assert [v["refine_iterations"] for v in chosen[4:]] == ["0", "1", "2", "5", "10", "20"]
    assert accuracy.chosen_variants(accuracy.build_parser().parse_args([])) == [{}]


def test_a_run_without_warm_start_tells_its_tracks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from biopose_live.stages import mqhmr as stage

    made: list[object] = []

    def run(arguments: list[str]) -> int:
        made.append(stage.PersonTrack)
        return 0

    monkeypatch.setattr(without_warm_start, "biopose_live", run)
    assert without_warm_start.main(["--video", "x.mp4"]) == 2
    assert "--every-frame is needed" in capsys.readouterr().err
    assert without_warm_start.main(["--video", "x.mp4", "--every-frame"]) == 0
    (track,) = made
    assert getattr(track, "keywords", None) == {"warm_start": False}
    assert not hasattr(stage.PersonTrack, "keywords")
    with pytest.raises(UserError, match="warm_start=half is neither on nor off"):
        accuracy.run(demo_clip(), tmp_path / "rec", {"warm_start": "half"})


@pytest.mark.parametrize("text", ["refine_iterations", "=1", "x=", "x=1,,2"])
def test_wrong_sweeps(text: str) -> None:
    with pytest.raises(SystemExit):
        accuracy.build_parser().parse_args(["--set", text])


def test_a_wrong_option_ends_with_the_commands_own_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Unknown argument --refine-iteration=3: did you mean --refine-iterations"):
        accuracy.run(demo_clip(), tmp_path / "rec", {"refine_iteration": "3"})


def test_the_accuracy_report_and_tables() -> None:
    truth = read_demo_truth()
    wave = 0.02 * np.sin(np.arange(truth.joints.size)).reshape(truth.joints.shape)
    joints, angles = truth.score_joints(truth.joints + wave)
    row = scored_clips.joint_row("demo", "biopose-live", [joints, joints])
    assert row.frames == 600
    assert len(row.pa_per_video) == 2
    assert math.isclose(row.mpjpe_mm, joints.mpjpe.mean())
    names = scored_clips.SEGMENT_ANGLES
    angle = scored_clips.angle_row("demo", scored_clips.BETWEEN_SEGMENTS, "MediaPipe full", names, angles)
    steps = [scored_clips.Steps(truth.joints + wave, truth.joints, truth.joints)]
    motion = scored_clips.motion_row("demo", "biopose-live", steps, truth.fps)
    report = accuracy.Report("accuracy", describe(), [row], [angle], [motion])
    assert msgspec.json.decode(msgspec.json.encode(report), type=accuracy.Report) == report
    console = Console(width=120, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115 - the console writes on
    accuracy.show(console, report.joints, report.angles, report.motion)
    text = console.export_text()
    assert f"{row.pa_mpjpe_mm:.1f}" in text
    assert f"{angle.raw_mean:.2f} / {angle.offset_free_mean:.2f}" in text
    assert f"{motion.acceleration_mean:.1f} / {motion.acceleration_median:.1f}" in text


def test_how_steady_a_clip_is() -> None:
    """Of two videos, one too short to settle, and of a truth."""
    truth = read_demo_truth().joints
    still = np.tile(truth[:1], (400, 1, 1))
    late = still.copy()
    late[:60] *= 1.1  # bones change within the first seconds only
    row = scored_clips.motion_row(
        "clip", "ours", [scored_clips.Steps(still, still, late), scored_clips.Steps(still[:90], still[:90])], 60.0
    )
    assert (row.acceleration_mean, row.acceleration_median) == (0.0, 0.0)
    assert row.bones_percent == pytest.approx(0.0, abs=1e-9)
    assert row.skeleton_bones_percent is not None
    assert row.skeleton_bones_percent > 1.0
    assert row.settled_bones_percent == pytest.approx(0.0, abs=1e-9)
    assert row.frames == 490
    own = scored_clips.truth_row("clip", [truth], 30.0)
    assert own.acceleration_mean is not None
    assert own.acceleration_mean > 0.5
    blind = scored_clips.motion_row("clip", "nobody", [scored_clips.Steps(np.full((9, 12, 3), np.nan))], 30.0)
    assert (blind.acceleration_mean, blind.skeleton_bones_percent, blind.frames) == (None, None, 0)
    assert scored_clips.as_long(still[:3], 5).shape == (5, 12, 3)
    assert len(scored_clips.as_long(still, 5)) == 5


def test_a_missing_folder_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert accuracy.main(["--no-demo", "--opencap", str(tmp_path)]) == 3
    assert accuracy.main(["--no-demo", "--pose2sim", str(tmp_path)]) == 3
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all("see bench/README.md" in sentence for sentence in said)
