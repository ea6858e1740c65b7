"""The calibration file: it comes back as written, and whatever else is in a file is one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biopose_live.body.model import EMBEDDED_BODY, BodyModel
from biopose_live.errors import EXIT_MODEL, EXIT_SINK, UserError
from biopose_live.neurik.calibration import Calibrator
from biopose_live.neurik.person_file import Made, PersonFile, Quality, read_person_file, write_person_file
from biopose_live.skeleton.bsk24 import bsk24_path
from biopose_live.skeleton.model import SkeletonModel


@pytest.fixture(scope="module")
def scales(body: BodyModel, skeleton: SkeletonModel) -> np.ndarray:
    return Calibrator(body, skeleton)(np.full(10, 0.3)).scales


@pytest.fixture(scope="module")
def person(skeleton: SkeletonModel, scales: np.ndarray) -> PersonFile:
    return PersonFile(
        body=Made.of(EMBEDDED_BODY),
        skeleton=Made.of(bsk24_path()),
        betas=[0.3] * 10,
        height=1.74,
        mass=70.5,
        body_names=skeleton.body_names,
        scales=scales.tolist(),
        quality=Quality(frames=700, seconds=25.0, spread_mm=2.5, marker_residual_mm=6.0),
    )


def sentence(act: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        act()
    assert caught.value.exit_code in (EXIT_MODEL, EXIT_SINK)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_it_comes_back_as_written(person: PersonFile, tmp_path: Path) -> None:
    write_person_file(person, tmp_path / "person.json")
    assert read_person_file(tmp_path / "person.json") == person
    assert json.loads((tmp_path / "person.json").read_text())["version"] == 1


def test_it_fits_its_own_body_and_skeleton(person: PersonFile, scales: np.ndarray) -> None:
    person.check_body(Path("p.json"), None, 10)
    person.check_skeleton(Path("p.json"), None, scales + 1e-6)


def test_another_body_or_skeleton_is_refused(person: PersonFile, scales: np.ndarray, other_skeleton: Path) -> None:
    path = Path("p.json")
    assert "made with the body" in sentence(lambda: person.check_body(path, bsk24_path(), 10))
    assert "made with the body" in sentence(lambda: person.check_body(path, None, 300))
    assert "other.osim" in sentence(lambda: person.check_skeleton(path, other_skeleton, scales))
    assert "another size" in sentence(lambda: person.check_skeleton(path, None, scales * 1.05))
    assert "another size" in sentence(lambda: person.check_skeleton(path, None, scales[:20]))
    assert "cannot be read" in sentence(lambda: person.check_body(path, Path("/no/body.npz"), 10))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "something"}, "is no calibration"),
        ({"version": 2}, "version 2, this program reads 1"),
        ({"betas": []}, "damaged (betas"),
        ({"betas": [1e9] * 10}, "damaged (betas"),
        ({"betas": "x"}, "damaged"),
        ({"height": 17.4}, "the height is 17.4 m"),
        ({"mass": -3.0}, "the mass is -3 kg"),
        ({"scales": [[1, 1, 1]]}, "three scales for each body"),
        ({"scales": [[1, 1, 0]] * 24}, "a scale is not above zero"),
        ({"scales": [[1, 1]] * 24}, "three scales for each body"),
        ({"quality": None}, "damaged"),
    ],
)
def test_a_changed_file_is_one_sentence(person: PersonFile, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / "person.json"
    write_person_file(person, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert words in sentence(lambda: read_person_file(path))


def test_files_that_cannot_be_read_or_written(person: PersonFile, tmp_path: Path) -> None:
    assert "cannot be read" in sentence(lambda: read_person_file(tmp_path / "none.json"))
    assert "cannot be read" in sentence(lambda: read_person_file(tmp_path))
    assert "cannot be read" in sentence(lambda: read_person_file(Path("a\0b")))
    assert "cannot be written" in sentence(lambda: write_person_file(person, tmp_path / "no" / "person.json"))


@given(data=st.binary(max_size=400) | st.text(max_size=200).map(str.encode) | st.just(b"[" * 100_000))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_do_more_than_a_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "fuzz.json").write_bytes(data)
    assert "is no calibration" in sentence(lambda: read_person_file(tmp_path / "fuzz.json"))


@given(
    change=st.dictionaries(
        st.sampled_from(["body", "skeleton", "betas", "height", "mass", "body_names", "scales", "quality", "version"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=8,
        ),
        min_size=1,
        max_size=3,
    )
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_content_does_more_than_a_sentence(person: PersonFile, tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "fuzz.json"
    write_person_file(person, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    try:
        found = read_person_file(path)
    except UserError as error:
        lines = str(error).count("\n")
    else:
        lines = 0
        assert np.isfinite(found.betas).all()
        assert np.isfinite(found.scales).all()
    assert lines == 0
