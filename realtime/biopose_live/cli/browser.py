"""Opens the viewer in the user's browser once it answers, where there is a screen to show it on; and makes its address
a QR code for a phone's camera.
"""

from __future__ import annotations

import io
import os
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Mapping

from biopose_live.sinks.viewer.access import ViewAccess

PATIENCE_S = 120.0  # the first start on a machine compiles
LOOK_S = 0.2


def has_display(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bool:
    """Whether a browser window would be seen here."""
    if platform in ("win32", "darwin"):
        return "SSH_CONNECTION" not in environment
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def qr_code(text: str) -> str:
    """-> a QR code of block characters, light on dark, as terminals are."""
    import segno

    drawn = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(out=drawn, border=2, compact=True)
    return drawn.getvalue()


def open_when_ready(access: ViewAccess) -> None:
    """Opens `access.url` in a browser as soon as the viewer listens; returns at once."""
    threading.Thread(target=_open, args=(access,), name="browser", daemon=True).start()


def _open(access: ViewAccess) -> None:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(access.host, access.host)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            socket.create_connection((host, access.port), LOOK_S).close()
        except OSError:
            time.sleep(LOOK_S)
            continue
        webbrowser.open(access.url)
        return
