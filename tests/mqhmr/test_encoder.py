"""The encoder against MediaPipe Tasks and against the uncut network in LiteRT's own kernels, on the demo clip."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import av
import cv2
import mediapipe
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mediapipe.tasks.python import BaseOptions, vision

from biopose_live.detection import pose_landmarker
from biopose_live.detection.pose_landmarker import MODELS, model_path
from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.encoder import SIDE, LandmarkEncoder, refine
from biopose_live.mqhmr.encoder_graph import MEMBER, GraphError, LandmarkGraph, read_landmark_network
from biopose_live.mqhmr.person_crop import Crop, person_crop

DEMO = MODELS.parent / "demo" / "demo.mp4"
SEEN = (20, 110, 170, 260)  # walking, bending, jumping, a knee up
TURN = np.deg2rad(35)


def frames() -> list[np.ndarray]:
    with av.open(str(DEMO)) as clip:
        return [f.to_ndarray(format="rgb24") for i, f in enumerate(clip.decode(video=0)) if i in SEEN]


class Seen:
    """A frame, what Tasks finds in it on its own, and what the encoder makes of the crop that follows from that."""

    def __init__(self, image: np.ndarray, landmarker: vision.PoseLandmarker, encoder: LandmarkEncoder) -> None:
        found = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image))
        size = image.shape[1], image.shape[0]
        self.keypoints = np.array([(m.x, m.y) for m in found.pose_landmarks[0]]) * size
        self.visibility = np.array([m.visibility for m in found.pose_landmarks[0]])
        self.world = np.array([(m.x, m.y, m.z) for m in found.pose_world_landmarks[0]])
        self.crop: Crop = person_crop(self.keypoints)
        self.pixels = self.crop.cut(image)
        self.encoded = encoder(self.pixels)

    @property
    def error(self) -> np.ndarray:
        """(33,) px of the frame."""
        return np.linalg.norm(self.crop.out_of(self.encoded.keypoints.astype(float)) - self.keypoints, axis=1)


@pytest.fixture(scope="module")
def encoder() -> LandmarkEncoder:
    return LandmarkEncoder("full")


@pytest.fixture(scope="module")
def seen(encoder: LandmarkEncoder) -> Iterator[dict[str, list[Seen]]]:
    """`upright`: frames as they are; `turned`: by `TURN`, as a camera that is held at an angle sees it."""
    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model_path("full"))), running_mode=vision.RunningMode.IMAGE
    )
    upright = frames()
    height, width = upright[0].shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -np.rad2deg(TURN), 0.75)
    turned = [cv2.warpAffine(image, turn, (width, height)) for image in (upright[0], upright[3])]
    with vision.PoseLandmarker.create_from_options(options) as landmarker:
        yield {
            "upright": [Seen(image, landmarker, encoder) for image in upright],
            "turned": [Seen(image, landmarker, encoder) for image in turned],
        }


@pytest.mark.parametrize("view", ["upright", "turned"])
def test_keypoints_agree_with_mediapipe(seen: dict[str, list[Seen]], view: str) -> None:
    # Tasks looks at another square (around its detector's person), hence not to a fraction of a pixel.
    error = np.array([s.error for s in seen[view]])
    assert np.median(error) < 1.6
    assert np.percentile(error, 95) < 6
    for s in seen[view]:
        assert s.encoded.visibility == pytest.approx(s.visibility, abs=0.25)
        assert 0.9 < s.encoded.presence <= 1


def test_heatmaps_bring_keypoints_nearer_to_mediapipes(
    seen: dict[str, list[Seen]], monkeypatch: pytest.MonkeyPatch, encoder: LandmarkEncoder
) -> None:
    refined = np.array([s.error for s in seen["upright"]])
    monkeypatch.setattr("biopose_live.mqhmr.encoder.REFINED_FROM", 2.0)
    for s in seen["upright"]:
        s.encoded = encoder(s.pixels)
    raw = np.array([s.error for s in seen["upright"]])
    monkeypatch.undo()
    for s in seen["upright"]:
        s.encoded = encoder(s.pixels)
    assert np.median(refined) < 0.7 * np.median(raw)


def test_world_is_in_the_crops_axes(seen: dict[str, list[Seen]]) -> None:
    for s in seen["turned"]:
        assert abs(s.crop.angle - TURN) < 0.2
        cos, sin = np.cos(s.crop.angle), np.sin(s.crop.angle)
        in_frame = s.encoded.world @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
        error = np.linalg.norm(in_frame - s.world, axis=1)
        unturned = np.linalg.norm(s.encoded.world - s.world, axis=1)
        assert np.median(error) < 0.06
        assert np.median(error) < 0.3 * np.median(unturned)


@pytest.mark.parametrize("model", ["lite", "full"])
def test_maps_are_the_uncut_networks(model: str, seen: dict[str, list[Seen]]) -> None:
    crop = seen["upright"][1].pixels
    network = read_landmark_network(model_path(model))
    uncut = Interpreter(
        model_content=network,
        num_threads=1,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    uncut.allocate_tensors()
    uncut.set_tensor(uncut.get_input_details()[0]["index"], crop[None].astype(np.float32) / 255)
    uncut.invoke()
    expected = [uncut.get_tensor(t)[0] for t in LandmarkGraph(network, model).maps]
    with_landmarks = LandmarkEncoder(model)
    maps_alone = LandmarkEncoder(model, landmarks=False)
    assert with_landmarks.fingerprint == maps_alone.fingerprint
    for encoder in (with_landmarks, maps_alone):
        encoded = encoder(crop)
        assert [m.shape for m in encoded.maps] == list(encoder.levels)
        assert [SIDE // m.shape[0] for m in encoded.maps] == [4, 8, 16, 32]
        for got, wanted in zip(encoded.maps, expected, strict=True):
            assert got.dtype == np.float32
            assert got.min() >= 0
            np.testing.assert_allclose(got, wanted, atol=2e-3)
    for name in ("keypoints", "visibility", "world", "presence"):
        with pytest.raises(ValueError, match="made without landmarks"):
            getattr(encoded, name)


def test_maps_outlive_the_next_call(encoder: LandmarkEncoder, seen: dict[str, list[Seen]]) -> None:
    first = encoder(seen["upright"][0].pixels)
    kept = [m.copy() for m in first.maps]
    encoder(seen["upright"][1].pixels)
    for m, k in zip(first.maps, kept, strict=True):
        np.testing.assert_array_equal(m, k)


def test_refine_moves_to_the_centroid_of_a_confident_peak_only() -> None:
    rows, columns = np.mgrid[0:64, 0:64]
    peak = 6.0 - 2.0 * ((rows - 20) ** 2 + (columns - 31) ** 2)
    heatmaps = np.stack([peak, peak - 20.0, peak, peak], -1).astype(np.float32)
    # Beside the peak; beside one that is not believed; too far from it to see it; out of the crop.
    points = np.array([[126.0, 83.0], [126.0, 83.0], [60.0, 83.0], [-9.0, 300.0]], np.float32)
    got = refine(points, heatmaps)
    assert got[0] == pytest.approx([31 * 4, 20 * 4], abs=1e-3)
    np.testing.assert_array_equal(got[1:], points[1:])


def test_a_keypoint_at_the_crops_edge_is_refined_with_what_is_there() -> None:
    heatmaps = np.full((64, 64, 1), 10.0, np.float32)
    assert refine(np.array([[255.9, 0.0]], np.float32), heatmaps)[0] == pytest.approx([61.5 * 4, 1.5 * 4], abs=1e-3)


@pytest.mark.parametrize(
    "crop", [np.zeros((256, 192, 3), np.uint8), np.zeros((256, 256, 3), np.float32), np.zeros((256, 256), np.uint8)]
)
def test_another_shape_or_type_is_refused(encoder: LandmarkEncoder, crop: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"a crop is \(256, 256, 3\) uint8 RGB"):
        encoder(crop)


def bundle(path: Path, network: bytes | None) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        if network is not None:
            archive.writestr(MEMBER, network)


def other_weights(network: bytes) -> bytes:
    """The network with one byte in its middle changed, a weight of the maps, hence the same graph."""
    middle = len(network) // 2
    return network[:middle] + bytes([network[middle] ^ 0x11]) + network[middle + 1 :]


@pytest.mark.parametrize("damage", ["missing", "no zip", "no member", "cut short", "another size", "other weights"])
def test_a_bad_model_is_one_sentence(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = read_landmark_network(model_path("full"))
    lite = read_landmark_network(model_path("lite"))
    path = tmp_path / "pose_full.task"
    monkeypatch.setattr(pose_landmarker, "MODELS", tmp_path)
    if damage == "no zip":
        path.write_bytes(network)
    elif damage != "missing":
        bundle(
            path,
            {
                "no member": None,
                "cut short": network[: len(network) // 3],
                "another size": lite,
                "other weights": other_weights(network),
            }[damage],
        )
    with pytest.raises(UserError) as caught:
        LandmarkEncoder("full")
    assert caught.value.exit_code == EXIT_MODEL
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "build_models.py" in sentence
    assert "\n" not in sentence
    assert sentence.count(". ") == 0


NETWORK = read_landmark_network(model_path("lite"))
FINGERPRINT = LandmarkEncoder("lite", landmarks=False).fingerprint
NOISE = np.random.default_rng(3).random((1, SIDE, SIDE, 3), np.float32)


def edited(data: bytes, edits: list[tuple[int, int]]) -> bytes:
    changed = bytearray(data)
    for at, flip in edits:
        changed[at] ^= flip
    return bytes(changed)


def maps_of(network: bytes) -> list[np.ndarray]:
    interpreter = Interpreter(model_content=network, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], NOISE)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


@cache
def maps_of_the_whole_file() -> list[np.ndarray]:
    graph = LandmarkGraph(NETWORK, "lite")
    return maps_of(graph.cut(graph.maps)[0])


def edits(first: int, last: int) -> st.SearchStrategy[bytes]:
    """Up to four bytes of the network changed, between two places."""
    place = st.tuples(st.integers(first, last), st.integers(1, 255))
    return st.lists(place, min_size=1, max_size=4).map(lambda chosen: edited(NETWORK, chosen))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.binary(max_size=64).map(lambda tail: b"\x18\0\0\0TFL3" + tail),
        st.integers(0, len(NETWORK) - 1).map(lambda size: NETWORK[:size]),
        # Tables lie at both ends, weights between them.
        edits(0, 60_000),
        edits(-60_000, -1),
        edits(0, len(NETWORK) - 1),
    )
)
def test_damage_is_found_or_does_no_harm(data: bytes) -> None:
    try:
        graph = LandmarkGraph(data, "lite")
        network, fingerprint = graph.cut(graph.maps)
    except GraphError:
        return
    if fingerprint == FINGERPRINT:
        for got, wanted in zip(maps_of(network), maps_of_the_whole_file(), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_it_lives_beside_mediapipe_and_numba_and_says_nothing() -> None:
    script = (
        "import mediapipe, numba, numpy as np\n"
        "from biopose_live.detection.pose_landmarker import PoseLandmarker\n"
        "from biopose_live.mqhmr.encoder import LandmarkEncoder\n"
        "black = np.zeros((256, 256, 3), np.uint8)\n"
        "with PoseLandmarker('lite') as landmarker:\n"
        "    encoder = LandmarkEncoder('lite')\n"
        "    landmarker(black, 0)\n"
        "    print(encoder(black).maps[0].shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(64, 64, 32)"
    assert done.stderr == ""
