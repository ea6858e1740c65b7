"""One tab of a headless Chromium, spoken to through its DevTools protocol."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import psutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_S = 30.0


class BrowserFailed(RuntimeError):
    """No browser, or it did not do what it was asked; the message says what."""


class Tab:
    """`async with Tab() as tab:` starts a browser with a profile of its own and ends it afterwards."""

    def __init__(self) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._web: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._number = 0

    async def __aenter__(self) -> Tab:
        program = next((found for name in NAMES if (found := shutil.which(name))), None)
        if program is None:
            raise BrowserFailed(f"No browser was found ({', '.join(NAMES)}): install Chromium.")
        options = [
            "--headless=new",
            "--window-size=1440,900",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--remote-debugging-port=0",
        ]
        options += ["--autoplay-policy=no-user-gesture-required", f"--user-data-dir={self._profile.name}"]
        self._process = subprocess.Popen(
            [program, *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._web = aiohttp.ClientSession()
        port = await self._port()
        async with self._web.get(f"http://127.0.0.1:{port}/json") as response:
            pages = [target for target in await response.json() if target["type"] == "page"]
        self._socket = await self._web.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
        return self

    def cpu(self) -> float:
        """-> seconds of CPU that the browser's processes have taken so far."""
        assert self._process is not None
        browser = psutil.Process(self._process.pid)
        return sum(sum(one.cpu_times()[:2]) for one in (browser, *browser.children(recursive=True)))

    async def _port(self) -> int:
        written = Path(self._profile.name) / "DevToolsActivePort"
        for _ in range(round(START_S / 0.1)):
            if written.is_file() and (lines := written.read_text().splitlines()):
                return int(lines[0])
            await asyncio.sleep(0.1)
        raise BrowserFailed(f"The browser did not start within {START_S:g} s.")

    async def __aexit__(self, *error: object) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._web is not None:
            await self._web.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        self._profile.cleanup()

    async def _command(self, method: str, **parameters: Any) -> dict[str, Any]:
        assert self._socket is not None
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            said = json.loads(await self._socket.receive_str(timeout=60))
            if said.get("id") == self._number:
                if "error" in said:
                    raise BrowserFailed(f"{method}: {said['error']}")
                result: dict[str, Any] = said["result"]
                return result

    async def open(self, url: str) -> None:
        """Goes to an address and waits a moment for it."""
        await self._command("Page.navigate", url=url)
        await asyncio.sleep(1.0)

    async def evaluate(self, expression: str) -> Any:
        """-> what JavaScript makes of it, promises awaited.  Raises BrowserFailed with the script's own error."""
        result = await self._command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise BrowserFailed(str(result["exceptionDetails"].get("exception", {}).get("description", result)))
        return result["result"].get("value")
