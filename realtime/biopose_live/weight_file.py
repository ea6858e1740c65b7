"""The weight files that ship with the program: safetensors, read and held against the shapes that this version wants.

Every fault is one sentence for the user: the file is missing, cannot be read, is damaged, or is of another version.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from biopose_live.errors import EXIT_MODEL, UserError


class WeightFile:
    """tensors by name, and the file's metadata."""

    def __init__(self, owner: str, path: Path) -> None:
        """owner: whose weights they are, as a sentence begins ("The lifter's").  Raises UserError when the file is
        missing or cannot be read."""
        self._what = f"{owner} weights"
        self._path = path
        if not path.is_file():
            raise UserError(f"{self._what} are missing: {path} was not found; reinstall biopose-live.", EXIT_MODEL)
        try:
            with safe_open(path, framework="numpy") as file:
                self.metadata: dict[str, str] = file.metadata() or {}
                self.tensors: dict[str, np.ndarray] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            found = " ".join(str(error).split())
            raise UserError(
                f"{self._what} in {path} cannot be read ({found}); reinstall biopose-live.", EXIT_MODEL
            ) from error

    def other_version(self, found: str) -> UserError:
        """-> what to raise when the file belongs to another version of the program."""
        return UserError(
            f"{self._what} in {self._path} are of another version: {found}; use the file that came with this version.",
            EXIT_MODEL,
        )

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raises UserError unless the tensors are exactly these, of finite numbers."""
        for name, shape in shapes.items():
            tensor = self.tensors.get(name)
            has = "nothing" if tensor is None else tensor.shape
            if tensor is None or has != shape:
                raise self.other_version(f"{name} should be {shape}, found {has}")
            if not (np.issubdtype(tensor.dtype, np.floating) and np.isfinite(tensor).all()):
                raise UserError(
                    f"{self._what} in {self._path} are damaged: {name} holds something else than finite numbers; "
                    "reinstall biopose-live.",
                    EXIT_MODEL,
                )
        if unknown := sorted(set(self.tensors) - set(shapes)):
            raise self.other_version(f"{unknown[0]} is not known")
