"""Who may look: the viewer's address, its token, and the checks of the Host and Origin headers.

A page of another site can make a browser send requests to this machine: by name, when a name server gives this
machine's address for the site's name (DNS rebinding), or across origins.  So a Host must be an address or this
machine's own name, an Origin must be the viewer's own, and everything but the page itself needs the run's token.
"""

from __future__ import annotations

import errno
import hmac
import ipaddress
import re
import secrets
import socket
import sys
from typing import NamedTuple

import msgspec

from biopose_live.errors import EXIT_SINK, EXIT_USAGE, UserError

OFF = "off"
NEXT_PORTS = 20  # how many ports are tried when the wanted one is in use
TOKEN_BYTES = 24
_ADDRESS = re.compile(r"(?P<tls>https://)?(?P<host>\[[^\[\]\s]+\]|[^\s:/\[\]]+):(?P<port>\d{1,5})")
_HOST_HEADER = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>\d{1,5}))?")
_ADVICE = "give --view 127.0.0.1:PORT with a port from 1 to 65535, or --view off"


class ViewAddress(NamedTuple):
    """What `--view` says; `host` is without brackets."""

    host: str
    port: int
    tls: bool = False


class ViewAccess(msgspec.Struct, frozen=True):
    """Where the viewer listens and the token that lets somebody in; `host` is without brackets."""

    host: str
    port: int
    token: str
    certificate: str | None = None  # a PEM file with key and certificate: HTTPS

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    @property
    def url(self) -> str:
        """The address to open on this machine."""
        return self.url_at({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host))

    def url_at(self, host: str) -> str:
        """The address to open where this machine is known as `host` (no brackets)."""
        shown = f"[{host}]" if ":" in host else host
        scheme = "http" if self.certificate is None else "https"
        return f"{scheme}://{shown}:{self.port}/?token={self.token}"

    @property
    def url_elsewhere(self) -> str | None:
        """The address to open on another device, None when none can get here or this machine has no network."""
        if self.loopback:
            return None
        if self.host not in ("0.0.0.0", "::"):
            return self.url
        host = _address_towards_the_network()
        return None if host is None else self.url_at(host)

    def admits(self, token: str) -> bool:
        """Whether `token` is the run's, compared in constant time."""
        return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self.token.encode())

    def knows_host(self, header: str) -> bool:
        """Whether a Host header names this viewer: an address cannot be rebound, a foreign name can."""
        match = _HOST_HEADER.fullmatch(header)
        usual = 80 if self.certificate is None else 443
        if match is None or int(match["port"] or usual) != self.port:
            return False
        host = match["host"].strip("[]").lower()
        if host in ("localhost", self.host.lower()):
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return not self.loopback and host in _own_names()
        return not self.loopback or is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether `host` (no brackets) is this machine's loopback."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def same_origin(origin: str, host_header: str) -> bool:
    """Whether a page of `origin` was served by the server that is addressed as `host_header`."""
    return origin.lower() in (f"http://{host_header}".lower(), f"https://{host_header}".lower())


def parse_view(text: str) -> ViewAddress | None:
    """`--view` -> where to listen, None for `off`; raises UserError (usage) with the form that is expected."""
    if text == OFF:
        return None
    match = _ADDRESS.fullmatch(text)
    if match is None or not 1 <= int(match["port"]) <= 65535:
        raise UserError(f"--view {text!r} is no address: {_ADVICE}.", EXIT_USAGE)
    return ViewAddress(match["host"].strip("[]"), int(match["port"]), match["tls"] is not None)


def reserve(host: str, port: int) -> ViewAccess:
    """-> access on the first free port from `port` on, with a fresh token.

    Raises UserError (sink) when the address is not this machine's, or none of the next ports is free.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    last = min(port + NEXT_PORTS, 65536)
    for candidate in range(port, last):
        try:
            listening_socket(host, candidate).close()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            shown = f"[{host}]" if ":" in host else host
            raise UserError(
                f"The viewer cannot listen on {shown}:{candidate} ({error.strerror}): {_ADVICE}.", EXIT_SINK
            ) from error
        return ViewAccess(host, candidate, token)
    raise UserError(f"The ports {port} to {last - 1} are all in use: {_ADVICE}.", EXIT_SINK)


def listening_socket(host: str, port: int) -> socket.socket:
    """-> a TCP socket that is bound, not yet listening; raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    found = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # there it would let two programs share a port
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except BaseException:
        found.close()
        raise
    return found


def _address_towards_the_network() -> str | None:
    """-> this machine's address on the network that leads furthest; nothing is sent to find out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation (RFC 5737)
        except OSError:
            return None
        host: str = probe.getsockname()[0]
        return host


def names_of_this_machine() -> list[str]:
    """-> what a browser may call this machine: names and addresses."""
    network = _address_towards_the_network()
    return ["localhost", "127.0.0.1", "::1", *_own_names(), *([] if network is None else [network])]


def _own_names() -> tuple[str, ...]:
    name = socket.gethostname().lower()
    return name, f"{name}.local"
