"""The overlay draws where the recorded camera projects, and says what is wrong with its input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from biopose_client import schema
from biopose_live.evaluation.overlay import (
    GAP,
    TILE_HEIGHT,
    TILE_WIDTH,
    bones,
    cut_out,
    cut_out_height,
    draw_person,
    main,
    projected,
)
from biopose_live.evaluation.palette import LEFT, RIGHT, WHITE

FOCAL, CENTRE = 500.0, [160.0, 120.0]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "grey.mp4"
    with av.open(str(path), "w") as target:
        stream = target.add_stream("h264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(5):
            grey = np.full((240, 320, 3), 90, np.uint8)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        target.mux(stream.encode(None))
    return path


def test_projection_is_opencvs(make_person: Callable) -> None:
    person = make_person(joints={"knee_r": [0.3, -0.2, -1.0]})
    at = projected(person)
    camera = np.array([[FOCAL, 0, CENTRE[0]], [0, FOCAL, CENTRE[1]], [0, 0, 1.0]])
    joints = np.array(person.joints)
    expected = cv2.projectPoints(joints, np.zeros(3), np.zeros(3), camera, None)[0][:, 0]
    behind = joints[:, 2] < 0
    assert behind.sum() == 1
    assert np.isnan(at[behind]).all()
    np.testing.assert_allclose(at[~behind], expected[~behind], atol=1e-6)


def test_bones_are_those_of_the_skeleton(meta: schema.Meta) -> None:
    named = {(meta.joint_names[a], meta.joint_names[b]): colour for a, b, colour in bones(meta)}
    assert len(named) == 23
    assert named[("femur_r", "tibia_r")] == RIGHT
    assert named[("scapula_l", "humerus_l")] == LEFT
    assert named[("lumbar", "thorax")] not in (LEFT, RIGHT)


@pytest.mark.parametrize(("zoom", "origin"), [(1.0, (0.0, 0.0)), (2.0, (40.0, 10.0))])
def test_a_thigh_is_drawn_where_it_projects(
    make_person: Callable, meta: schema.Meta, zoom: float, origin: tuple[float, float]
) -> None:
    # Everything else lies behind the camera, so that only the two thighs are drawn.
    hidden = dict.fromkeys(meta.joint_names, (0.0, 0.0, -1.0))
    thighs = {
        "femur_r": (-0.4, -0.4, 4.0), "tibia_r": (-0.4, 0.4, 4.0),
        "femur_l": (0.4, -0.4, 4.0), "tibia_l": (0.4, 0.4, 4.0),
    }  # fmt: skip
    person = make_person(joints={**hidden, **thighs})
    picture = np.zeros((round(240 * zoom), round(320 * zoom), 3), np.uint8)
    draw_person(picture, person, meta, zoom, origin)

    def colour(x: float, y: float) -> tuple[int, ...]:
        column, row = round((x - origin[0]) * zoom), round((y - origin[1]) * zoom)
        return tuple(int(value) for value in picture[row, column])

    assert colour(110, 120) == RIGHT
    assert colour(210, 120) == LEFT
    assert colour(110, 70) == colour(210, 170) == WHITE
    assert colour(160, 120) == (0, 0, 0)
    drawn = np.argwhere(picture.any(-1))[:, ::-1] / zoom + origin
    assert (np.abs(np.abs(drawn[:, 0] - 160) - 50) < 6).all()


def test_the_nearer_limb_covers_the_farther(make_person: Callable, meta: schema.Meta) -> None:
    hidden = dict.fromkeys(meta.joint_names, (0.0, 0.0, -1.0))
    for near, far, expected in (("r", "l", RIGHT), ("l", "r", LEFT)):
        crossing = {
            f"femur_{near}": (-0.3, -0.3, 3.0), f"tibia_{near}": (0.3, 0.3, 3.0),
            f"femur_{far}": (0.4, -0.4, 4.0), f"tibia_{far}": (-0.4, 0.4, 4.0),
        }  # fmt: skip
        picture = np.zeros((240, 320, 3), np.uint8)
        draw_person(picture, make_person(joints={**hidden, **crossing}), meta)
        assert tuple(picture[120, 160]) == expected


@pytest.mark.parametrize("box", [(0, 0, 50, 200), (300, 100, 20, 100), (100, 0, 120, 240), (0, 0, 320, 240)])
def test_the_cut_out_stays_in_the_frame_and_shows_the_person(box: tuple[float, ...]) -> None:
    shown = cut_out_height(320, 240, [box])
    x, y, w = cut_out(320, 240, box, shown)
    assert x >= 0
    assert y >= 0
    assert x + w <= 320 + 1e-9
    assert y + shown <= 240 + 1e-9
    assert w / shown == pytest.approx(TILE_WIDTH / TILE_HEIGHT)
    if box[2] < 150:
        assert x <= box[0]
        assert box[0] + box[2] <= x + w


def test_a_picture_of_two_frames(
    make_person: Callable, write_recording: Callable[..., Path], video: Path, tmp_path: Path
) -> None:
    folder = write_recording({seq: [make_person(q={"knee_angle_r": 0.3 * seq})] for seq in range(4)} | {4: []})
    out = tmp_path / "out.png"
    assert main(["--recording", str(folder), "--video", str(video), "--frame", "1", "4", "--out", str(out)]) == 0
    picture = cv2.cvtColor(cv2.imread(str(out)), cv2.COLOR_BGR2RGB)
    assert picture.shape[1] == 2 * TILE_WIDTH + GAP
    assert (picture[:, TILE_WIDTH : TILE_WIDTH + GAP] == 255).all()
    first, second = picture[:TILE_HEIGHT, :TILE_WIDTH], picture[:TILE_HEIGHT, TILE_WIDTH + GAP :]
    near_right = np.abs(first.astype(int) - RIGHT).sum(-1) < 30
    assert near_right.sum() > 100
    assert (np.abs(second.astype(int) - 90) < 12).all()  # nobody there: the bare video
    numbers = picture[TILE_HEIGHT:, : TILE_WIDTH // 2]
    assert not np.array_equal(numbers, picture[TILE_HEIGHT:, TILE_WIDTH + GAP :][:, : TILE_WIDTH // 2])


def test_wrong_input_is_one_sentence(
    make_person: Callable,
    write_recording: Callable[..., Path],
    video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write_recording({seq: [make_person()] for seq in (0, 1, 7)})

    def says(*changed: str) -> str:
        given = {"--recording": str(folder), "--video": str(video), "--frame": "1", "--out": str(tmp_path / "x.png")}
        given |= dict(zip(changed[::2], changed[1::2], strict=True))
        assert main([word for pair in given.items() for word in pair]) in (2, 3, 5)
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    assert "holds no frame 3: it has frames 0 to 7" in says("--frame", "3")
    assert "ends before frame 7" in says("--frame", "7")
    assert "is no recording" in says("--recording", str(tmp_path))
    assert "There is no file" in says("--video", str(tmp_path / "no.mp4"))
    assert "does not end like a picture" in says("--out", str(tmp_path / "x.txt"))
    assert "does not end like a picture" in says("--out", str(tmp_path / "x"))
    assert "cannot be written" in says("--out", str(tmp_path / "no" / "x.png"))
