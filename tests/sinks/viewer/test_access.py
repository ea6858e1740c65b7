"""Who may look: addresses, tokens, Host and Origin."""

from __future__ import annotations

import socket

import pytest

from biopose_live.errors import EXIT_SINK, EXIT_USAGE, UserError
from biopose_live.sinks.viewer.access import ViewAccess, parse_view, reserve, same_origin

LOCAL = ViewAccess("127.0.0.1", 8765, "secret")
LAN = ViewAccess("192.0.2.7", 8765, "secret")


def test_addresses() -> None:
    assert parse_view("off") is None
    assert parse_view("127.0.0.1:8765") == ("127.0.0.1", 8765, False)
    assert parse_view("[::1]:80") == ("::1", 80, False)
    assert parse_view("https://0.0.0.0:443") == ("0.0.0.0", 443, True)
    assert ViewAccess("::1", 80, "x").url == "http://[::1]:80/?token=x"
    assert ViewAccess("0.0.0.0", 80, "x").url == "http://127.0.0.1:80/?token=x"


@pytest.mark.parametrize(
    "text", ["", "on", "8765", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "http://a:1", "a b:1"]
)
def test_what_is_no_address_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match="--view") as refused:
        parse_view(text)
    assert refused.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST:8765", "[::1]:8765", "127.9.9.9:8765"])
def test_hosts_of_loopback(host: str) -> None:
    assert LOCAL.knows_host(host)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example:8765", "127.0.0.1", "127.0.0.1:8766", "localhost.evil.example:8765", "192.0.2.7:8765", "a b"],
)
def test_foreign_hosts_are_refused(host: str) -> None:
    assert not LOCAL.knows_host(host)


def test_the_usual_port_may_be_left_out() -> None:
    assert ViewAccess("192.0.2.7", 80, "x").knows_host("192.0.2.7")
    assert ViewAccess("192.0.2.7", 443, "x", certificate="x.pem").knows_host("192.0.2.7")
    assert not ViewAccess("192.0.2.7", 443, "x").knows_host("192.0.2.7")


def test_hosts_on_a_network() -> None:
    assert LAN.knows_host("192.0.2.7:8765")
    assert LAN.knows_host(f"{socket.gethostname()}:8765")
    assert not LAN.knows_host("evil.example:8765")


def test_origins() -> None:
    assert same_origin("http://127.0.0.1:8765", "127.0.0.1:8765")
    for foreign in ("null", "http://evil.example", "http://127.0.0.1:8766", "http://127.0.0.1:87650", "file://"):
        assert not same_origin(foreign, "127.0.0.1:8765")


def test_tokens() -> None:
    assert LOCAL.admits("secret")
    for wrong in ("", "secre", "secret ", "gehe\u00efm", "\udcff"):
        assert not LOCAL.admits(wrong)


def test_a_busy_port_gives_way_to_the_next() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        if port > 65500:
            pytest.skip("the system gave one of the last ports")
        first, second = reserve("127.0.0.1", port), reserve("127.0.0.1", port)
    assert port < first.port < port + 20
    assert first.token != second.token
    assert len(first.token) >= 32


def test_another_machines_address_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match=r"192\.0\.2\.200:8765.*--view") as refused:
        reserve("192.0.2.200", 8765)
    assert refused.value.exit_code == EXIT_SINK
