"""`python -m biopose_live.training.lite.average FIRST.safetensors SECOND.safetensors --out lite.safetensors`

The mean of the weights of a training and of another one that was begun from it: both lie in one valley of the loss, and
their mean is steadier on pictures of another kind than either was trained on (Wortsman et al. 2022, "Robust fine-tuning
of zero-shot models", section 4).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from safetensors.numpy import save_file

from biopose_live.errors import EXIT_MODEL, EXIT_OK, UserError
from biopose_live.mqhmr.lite.network import LiteNetwork
from biopose_live.weight_file import WeightFile

WHAT = "The light image network's"


def average(first: Path, second: Path, out: Path) -> None:
    """Writes the mean in half precision; its metadata holds the settings of both.

    Raises UserError for files that are missing, damaged or of different sizes."""
    networks = [LiteNetwork.load(path).architecture for path in (first, second)]
    if networks[0] != networks[1]:
        raise UserError(
            f"{first} and {second} are networks of different sizes; give a training and one begun from it.", EXIT_MODEL
        )
    files = [WeightFile(WHAT, path) for path in (first, second)]
    mean = {
        name: (0.5 * (tensor.astype(np.float32) + files[1].tensors[name].astype(np.float32))).astype(np.float16)
        for name, tensor in files[0].tensors.items()
    }
    metadata = {
        "architecture": msgspec.json.encode(networks[0]).decode(),
        "mean_of": json.dumps([json.loads(file.metadata.get("settings", "{}")) for file in files]),
    }
    save_file(mean, out, metadata)


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code."""
    parser = argparse.ArgumentParser(prog="python -m biopose_live.training.lite.average", description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        average(given.first, given.second, given.out)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
