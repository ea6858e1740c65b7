"""The self-made certificate, judged by OpenSSL."""

from __future__ import annotations

import asyncio
import ssl
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import aiohttp
import msgspec
import pytest
from shown_run import Show

from biopose_client import schema
from biopose_live.errors import EXIT_SINK, UserError
from biopose_live.sinks.viewer import certificate
from biopose_live.sinks.viewer.access import names_of_this_machine, reserve
from biopose_live.sinks.viewer.certificate import fingerprint, self_made

NAMES = ["localhost", "127.0.0.1", "::1", "192.0.2.7"]


def test_it_is_kept_for_this_user_alone(tmp_path: Path) -> None:
    path = self_made(tmp_path / "state", NAMES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = path.read_bytes()
    assert self_made(tmp_path / "state", NAMES[:2]).read_bytes() == first
    assert len(fingerprint(path).split(":")) == 32


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_replaced(content: bytes, tmp_path: Path) -> None:
    (tmp_path / certificate.FILE).write_bytes(content)
    assert fingerprint(self_made(tmp_path, NAMES))


def test_another_name_or_a_near_end_makes_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprint(self_made(tmp_path, NAMES))
    second = fingerprint(self_made(tmp_path, [*NAMES, "192.0.2.8"]))
    assert second != first
    monkeypatch.setattr(certificate, "RENEWED", timedelta(days=400))
    assert fingerprint(self_made(tmp_path, NAMES)) != second


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be kept in") as refused:
        self_made(tmp_path / "file" / "state", NAMES)
    assert refused.value.exit_code == EXIT_SINK


def test_a_client_that_trusts_it_watches_over_tls(
    meta: schema.Meta, make_pose: Callable[..., schema.Pose], free_port: int, tmp_path: Path
) -> None:
    path = self_made(tmp_path, names_of_this_machine())
    access = msgspec.structs.replace(reserve("127.0.0.1", free_port), certificate=str(path))
    show = Show(access, meta, make_pose)
    trusting = ssl.create_default_context(cafile=str(path))

    async def run() -> None:
        async with aiohttp.ClientSession() as web:
            for _ in range(100):
                try:
                    async with web.get(f"{show.base}/api/status", headers=show.bearer, ssl=trusting) as response:
                        assert response.status == 200
                        break
                except aiohttp.ClientConnectorCertificateError:
                    raise
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
            url = f"{show.base}/ws?token={access.token}"
            async with web.ws_connect(url, ssl=trusting, origin=show.base) as socket:
                assert (await socket.receive_bytes(timeout=10)).startswith(b"meta ")
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await web.get(f"{show.base}/api/status")

    assert show.base == f"https://127.0.0.1:{access.port}"
    try:
        asyncio.run(run())
    finally:
        show.close()
