"""Where the viewer is: finds it a port, says its address, and opens it in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biopose_live.settings import Settings
from biopose_live.sinks.viewer.access import ViewAccess, ViewAddress

if TYPE_CHECKING:
    from rich.console import Console


def plays_on(settings: Settings) -> bool:
    """Whether the demo goes on after its end: where a browser is opened for it, somebody is looking."""
    from biopose_live.cli.browser import has_display

    return (
        settings.demo
        and settings.duration is None
        and settings.record is None
        and not settings.headless
        and settings.view != "off"
        and has_display()
    )


def open_viewer(console: Console, settings: Settings, address: ViewAddress) -> ViewAccess:
    """Finds the viewer a port, says where it is and opens it in a browser; -> who may watch.  Raises UserError."""
    import msgspec

    from biopose_live.cli.browser import has_display, open_when_ready, qr_code
    from biopose_live.sinks.viewer.access import names_of_this_machine, reserve

    access = reserve(address.host, address.port)
    if address.tls:
        from biopose_live.sinks.viewer.certificate import fingerprint, self_made, state_folder

        file = self_made(state_folder(), names_of_this_machine())
        access = msgspec.structs.replace(access, certificate=str(file))
        console.print(
            f"The certificate is self-made, so that browsers warn once; its SHA-256 is {fingerprint(file)}.",
            soft_wrap=True,
            markup=False,
        )
    console.print(f"Viewer: {access.url}", soft_wrap=True, markup=False)
    elsewhere = access.url_elsewhere
    if elsewhere is not None:
        console.print(f"On another device: {elsewhere}", soft_wrap=True, markup=False)
        if console.is_terminal:
            console.print(qr_code(elsewhere), soft_wrap=True, markup=False)
    if not access.loopback:
        secrecy = "; the pictures are encrypted, the page and the address are not (https:// before it changes that)"
        console.print(
            f"Anybody who knows this address and can reach this machine can watch{'' if address.tls else secrecy}. Use "
            f"--view 127.0.0.1:PORT to keep it on this machine.",
            soft_wrap=True,
            markup=False,
        )
    if not settings.headless and has_display():
        open_when_ready(access)
    return access
