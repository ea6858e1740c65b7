"""The benchmarks are scripts beside each other: their folder goes on the path, as when one of them is started."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
