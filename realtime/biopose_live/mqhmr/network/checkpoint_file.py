"""Reads other programs' PyTorch checkpoints without running anything in them.

`torch.load(weights_only=True)` builds tensors and plain containers and refuses every other name.  Checkpoints of
PyTorch Lightning (HMR2.0, TokenHMR) hold settings objects beside the weights; their classes are read as plain
dictionaries (`Inert`), so neither those packages nor any code of theirs is needed.  Names in modules that can
reach the system are refused by torch itself.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from biopose_live.errors import EXIT_MODEL, UserError

WRAPPERS = ("state_dict", "model", "module")  # under which programs keep the weights


class Inert:
    """Stands for every unknown class: making one gives a plain dictionary, whatever it is made with.

    A dictionary of that very type, because torch's reader fills no other object.
    """

    def __new__(cls, *arguments: object, **named: object) -> OrderedDict[str, object]:  # type: ignore[misc]
        return OrderedDict()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """-> the tensors of a .safetensors file or a PyTorch checkpoint, by name, on the CPU.

    Raises UserError where the file cannot be read, asks for code, or holds no tensors by name.
    """
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}; give the path of one.", EXIT_MODEL)
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _read_pickled(path)
    except (SafetensorError, pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, OSError) as error:
        found = _reason(error)
        raise UserError(f"{path} cannot be read as a checkpoint ({found}); fetch it again.", EXIT_MODEL) from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        # A damaged stream of opcodes can raise almost anything from inside the unpickler.
        raise UserError(
            f"{path} cannot be read as a checkpoint (damaged: {type(error).__name__}); fetch it again.", EXIT_MODEL
        ) from error
    return _tensors_of(content, path)


def _reason(error: Exception) -> str:
    """torch explains at length how to switch its protection off; what it found comes after."""
    found = re.search(r"WeightsUnpickler error:\s*(.+)", str(error))
    lines = (found.group(1) if found else str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _read_pickled(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        return torch.load(path, map_location="cpu", weights_only=True)
    with zipfile.ZipFile(path) as archive:
        if any(name.rsplit("/", 1)[-1] == "constants.pkl" for name in archive.namelist()):
            raise RuntimeError("it is a TorchScript program, not weights")
    unknown = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    with torch.serialization.safe_globals([(Inert, name) for name in unknown]):
        # Mapped: of a whole training state, of several GB, only the backbone's pages are ever read.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def _tensors_of(content: Any, path: Path) -> dict[str, Tensor]:
    for _ in range(2):
        if isinstance(content, Mapping):
            inside = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
            if inside is not None:
                content = inside
    tensors = (
        {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        found = f"a {type(content).__name__}" + (
            f" with {', '.join(map(str, list(content)[:3]))}" if isinstance(content, Mapping) and content else ""
        )
        raise UserError(f"{path} holds no weights by name (found {found}); give a checkpoint of a model.", EXIT_MODEL)
    return tensors
