"""The inverse kinematics benchmark: its movements are possible and look right, both solvers run, its figures add up."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

import inverse_kinematics as bench
import movements
from biopose_live.skeleton.bsk24 import load_bsk24
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import FloatArray, SkeletonModel


@pytest.fixture(scope="module")
def model() -> SkeletonModel:
    return load_bsk24()


def degrees(model: SkeletonModel, q: FloatArray, coordinate: str) -> FloatArray:
    return np.degrees(q[:, model.coordinate_index(coordinate)])


def tracks(model: SkeletonModel, q: FloatArray) -> dict[str, FloatArray]:
    """Every marker's path (T, 3) m."""
    kinematics = Kinematics(model)
    points = np.array([kinematics.markers(row) for row in q])
    return {name: points[:, number] for number, name in enumerate(model.marker_names)}


def mass_centre(model: SkeletonModel, q: FloatArray) -> FloatArray:
    """Of the whole body, (T, 3) m."""
    kinematics = Kinematics(model)
    masses = np.array([body.mass for body in model.bodies])
    locations = np.array([body.mass_centre for body in model.bodies])
    every = np.arange(len(masses))
    return np.array([masses @ kinematics.markers(row, None, every, locations) for row in q]) / masses.sum()


def test_periodic_passes_through_its_knots() -> None:
    knots = movements.KNEE_FLEXION
    np.testing.assert_allclose(movements.periodic(knots, np.arange(20) / 10), np.tile(knots, 2), atol=1e-9)


@pytest.mark.parametrize("name", movements.MOVEMENTS)
def test_movements_stay_within_the_limits(model: SkeletonModel, name: str) -> None:
    times = np.arange(180) / 30
    plain = movements.MOVEMENTS[name](model, times)
    for q in (plain, movements.with_drift(model, plain, times)):
        for number, coordinate in enumerate(model.coordinates):
            if coordinate.clamped:
                assert q[:, number].min() >= coordinate.range[0], coordinate.name
                assert q[:, number].max() <= coordinate.range[1], coordinate.name


def test_walking_looks_right(model: SkeletonModel) -> None:
    times = np.arange(0.0, 4 * movements.CYCLE_S, 0.01)
    q = movements.walking(model, times)
    path = tracks(model, q)
    stride = (q[-1] - q[0])[model.coordinate_index("pelvis_tx")] / 4
    assert 1.0 < stride < 1.5  # m, as people of 1.70 m walk
    # Vertical excursion of the mass centre is a few centimetres, twice a stride.
    height = mass_centre(model, q)[:, 1]
    assert 0.015 < np.ptp(height) < 0.06
    assert 0.53 < height.mean() / 1.70 < 0.58
    toe, heel = path["RTOE"][:, 1], path["RCAL"][:, 1]
    assert heel.min() > 0.02  # skin point at the back of the heel, 25 mm above the sole
    assert toe.min() > 0.0
    assert 0.15 < heel.max() < 0.32  # the heel rises behind in early swing
    # Mid-swing: the swinging toe clears the floor as it passes the other foot.
    passing = np.flatnonzero(np.diff(np.sign(path["RTOE"][:, 0] - path["LTOE"][:, 0])) > 0)
    assert len(passing) >= 3
    assert np.all(toe[passing] > 0.01)
    # Knee always below the hip and above the ankle, the knee never behind the line between them.
    kinematics = Kinematics(model)
    origins = np.array([kinematics.forward(row)[1] for row in q])
    hip, knee, ankle = (origins[:, model.body_index(name)] for name in ("femur_r", "tibia_r", "talus_r"))
    assert np.all(hip[:, 1] > knee[:, 1] + 0.2)
    assert np.all(knee[:, 1] > ankle[:, 1] + 0.15)
    share = (hip[:, 1] - knee[:, 1]) / (hip[:, 1] - ankle[:, 1])
    on_line = hip[:, 0] + share * (ankle[:, 0] - hip[:, 0])
    assert np.all(knee[:, 0] > on_line - 1e-3)


def test_squatting_looks_right(model: SkeletonModel) -> None:
    q = movements.squatting(model, np.arange(0.0, 3.0, 0.05))
    path = tracks(model, q)
    deepest = len(q) // 2
    assert degrees(model, q, "knee_angle_r")[deepest] == pytest.approx(110.0, abs=0.5)
    for name in ("RCAL", "RTOE", "RMT5", "LCAL"):  # both feet stay flat
        assert np.ptp(path[name][:, 1]) < 0.012
    hip_drop = -np.ptp(q[:, model.coordinate_index("pelvis_ty")])
    assert -0.55 < hip_drop < -0.35
    # The body balances: its mass centre stays above the feet.
    centre = mass_centre(model, q)[:, 0]
    assert np.all(centre > path["RCAL"][:, 0])
    assert np.all(centre < path["RTOE"][:, 0])
    # Knees come forward over the toes and follow their direction; the seat goes back.
    assert path["RLFC"][deepest, 0] - path["RCAL"][deepest, 0] > 0.2
    assert path["RPSI"][deepest, 0] < path["RPSI"][0, 0]


def test_reaching_ends_overhead(model: SkeletonModel) -> None:
    q = movements.reaching(model, np.arange(0.0, 4.0, 0.1))
    path = tracks(model, q)
    highest = len(q) // 2
    assert path["RH2"][highest, 1] > 1.9  # standing vertical reach of a person of 1.70 m, to the knuckles
    assert path["RH2"][0, 1] < 0.9
    # The girdle takes about a third: acromion up and back, inferior angle of the scapula forward round the ribs.
    assert path["RACR"][highest, 1] > path["RACR"][0, 1] + 0.01
    assert path["RSCA"][highest, 0] > path["RSCA"][0, 0] + 0.03


def test_both_solvers_find_the_movement(model: SkeletonModel) -> None:
    assert bench.opensim_version()
    said: list[str] = []
    rows = bench.compare(model, ["walking"], (0.0, 5.0), 8, said.append)
    assert len(said) == 2
    assert [(row.system, row.noise_mm) for row in rows] == [
        (s, n) for n in (0.0, 5.0) for s in (*bench.OURS, bench.PEER)
    ]
    assert all(row.frames == 7 and row.ms_median > 0.0 for row in rows)
    clean, noisy = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    assert all(row.angle_mean_deg < 1.0 and row.marker_rms_mm < 1.5 for row in clean)
    # The same noise floor: the minimum of the same cost, so nobody can be far below anybody else.
    floor = [row.marker_rms_mm for row in noisy]
    assert max(floor) < 1.03 * min(floor)
    faster = bench.times_faster(rows)
    assert set(faster) == set(bench.OURS)
    assert all(set(levels) == {"0 mm", "5 mm"} for levels in faster.values())


def row(system: str, ms: float) -> bench.Row:
    return bench.Row(system, 5.0, 29, 2.1, 6.9, 7.2, ms, 2.0 * ms)


def test_the_table_and_report(tmp_path: Path) -> None:
    rows = [row(system, 0.25) for system in bench.OURS] + [row(bench.PEER, 25.0)]
    assert {level["5 mm"] for level in bench.times_faster(rows).values()} == {100.0}
    console = Console(width=150, record=True, file=(tmp_path / "table").open("w"))
    console.print(bench.table(rows))
    text = console.export_text()
    assert all(cell in text for cell in ("5 mm", "2.100°", "7.200 mm", "0.250", "25.000", "100", *bench.OURS))
    report = bench.Report(
        "inverse_kinematics", bench.describe(), "4.6", 54, ["walking"], rows, bench.times_faster(rows)
    )
    assert msgspec.json.decode(msgspec.json.encode(report), type=bench.Report) == report


def test_arguments() -> None:
    quick = bench.parse(["--quick"])
    assert (quick.frames, quick.movements, quick.noises_mm) == (30, ["walking"], (5.0,))
    full = bench.parse(["--frames", "50"])
    assert (full.frames, full.movements, full.noises_mm) == (50, list(movements.MOVEMENTS), bench.NOISES_MM)


@pytest.mark.parametrize("arguments", [["--frames", "2"], ["--frames", "x"], ["--nonsense"]])
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        bench.parse(arguments)
    assert end.value.code == 2
    assert "error:" in capsys.readouterr().err
