"""The client is a package of its own: it installs without the rest and needs pyzmq and msgspec only."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2] / "clients" / "python"

PROBE = """
import importlib.metadata, sys
ours = {"biopose_client", "zmq", "msgspec"}
class OnlyOwn:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ours and top not in sys.stdlib_module_names and not top.startswith("_"):
            raise ImportError(f"{name} is not a dependency of the client")
sys.meta_path.insert(0, OnlyOwn())
import biopose_client, biopose_client.table
print(biopose_client.__file__)
"""


def test_it_imports_with_its_own_dependencies_only(tmp_path):
    environment = {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(str(PROJECT))


def test_it_builds_and_installs_alone(tmp_path):
    pytest.importorskip("hatchling")
    target = tmp_path / "site"
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
        "--disable-pip-version-check", "--target", str(target), str(PROJECT),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    environment = {"PYTHONPATH": str(target)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(target / "biopose_client" / "__init__.py")
    requirements = next(target.glob("biopose_client-*.dist-info")).joinpath("METADATA").read_text()
    assert [line for line in requirements.splitlines() if line.startswith("Requires-Dist")] == [
        "Requires-Dist: msgspec>=0.19",
        "Requires-Dist: pyzmq>=26",
    ]
    assert (target / "biopose_client" / "py.typed").is_file()
