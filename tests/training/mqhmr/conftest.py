"""Fixtures around the made-up datasets (`field_datasets`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biopose_live.body.model import BodyModel
from field_datasets import encoded, field_npz, field_tar, person, picture


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="session")
def make_person(body: BodyModel) -> Callable[[int], dict[str, Any]]:
    return lambda seed: person(body, seed)


@pytest.fixture(scope="session")
def make_picture() -> Callable[..., np.ndarray]:
    return picture


@pytest.fixture(scope="session")
def make_tar() -> Callable[..., Path]:
    return field_tar


@pytest.fixture(scope="session")
def make_npz() -> Callable[..., tuple[Path, Path]]:
    return field_npz


@pytest.fixture(scope="session")
def png() -> Callable[[np.ndarray], bytes]:
    return lambda image: encoded(image, ".png")
