"""The desk where viewers ask to be measured, and its way to the page."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shown_run import Show

from biopose_live.errors import UserError
from biopose_live.pipeline.live_calibration import CalibrationState
from biopose_live.pipeline.moves import MOVES
from biopose_live.sinks.viewer import calibrations, page_server
from biopose_live.sinks.viewer.calibrations import CalibrationDesk, CalibrationRequest, file_for


@pytest.fixture
def desk(tmp_path: Path) -> CalibrationDesk:
    return CalibrationDesk({"camera": "0"}, tmp_path)


def test_a_wish_and_what_comes_of_it(desk: CalibrationDesk, tmp_path: Path) -> None:
    assert desk.wish is None
    assert desk.told()["phase"] == "idle"
    assert [move["instruction"] for move in desk.told()["moves"]] == [move.instruction for move in MOVES]
    desk.start(CalibrationRequest(2, 1.7, "Anna"))
    wish = desk.wish
    assert wish is not None
    assert (wish.person, wish.height, wish.out) == (2, 1.7, str(tmp_path / "Anna.json"))
    with pytest.raises(UserError, match="already"):
        desk.start(CalibrationRequest())
    desk.update(CalibrationState(wish.number - 1, "failed"))  # of another measurement
    assert desk.told()["phase"] == "measuring"
    desk.update(CalibrationState(wish.number, "done", good=True, file=wish.out or "", sentences=["Height 1.70 m."]))
    assert desk.told()["command"] == f"biopose-live --camera 0 --calibration {tmp_path / 'Anna.json'}"
    desk.cancel()
    assert desk.told()["phase"] == "done"


def test_giving_up_is_a_wish_of_its_own(desk: CalibrationDesk) -> None:
    desk.start(CalibrationRequest())
    first = desk.wish
    desk.cancel()
    assert first is not None
    assert desk.wish is not None
    assert desk.wish.number > first.number
    assert desk.wish.out is None
    assert desk.told()["phase"] == "cancelled"
    desk.start(CalibrationRequest())
    assert desk.told()["phase"] == "measuring"


def test_silence_is_a_failure(desk: CalibrationDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrations, "SILENCE_S", -1.0)
    desk.start(CalibrationRequest())
    told = desk.told()
    assert told["phase"] == "failed"
    assert "begin again" in told["sentences"][0]


@pytest.mark.parametrize("height", [0.3, 17.0, float("nan")])
def test_heights_that_nobody_has_are_refused(desk: CalibrationDesk, height: float) -> None:
    with pytest.raises(UserError, match="height"):
        desk.start(CalibrationRequest(height=height))


@given(st.text(max_size=80))
def test_names_stay_in_their_folder(name: str) -> None:
    folder = Path("/nowhere/people")
    path = file_for(name, folder)
    assert path.parent == folder
    assert path.suffix == ".json"
    assert "/" not in path.name
    assert not path.name.startswith(".")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "anna.json").touch()
    (tmp_path / "anna-2.osim").touch()
    assert file_for("anna", tmp_path) == tmp_path / "anna-3.json"


def test_it_is_asked_for_over_http_with_the_token(show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    show.viewer.calibrations._folder = tmp_path

    async def test() -> None:
        async with aiohttp.ClientSession() as web:

            async def ask(method: str, path: str, body: bytes | None = None, **more: object) -> tuple[int, dict]:
                url = f"{show.base}/api/calibration{path}"
                async with web.request(method, url, data=body, **more) as answer:  # type: ignore[arg-type]
                    return answer.status, await answer.json() if answer.content_type == "application/json" else {}

            known = {"headers": show.bearer}
            for method, path in (("GET", ""), ("POST", "/start"), ("POST", "/cancel")):
                assert (await ask(method, path))[0] == 401
            for body in (b"", b"{", b'{"person": "x"}', b'{"out": "/etc/passwd"}', b"[" * 5000):
                assert (await ask("POST", "/start", body, **known))[0] == 400
            assert (await ask("POST", "/start", b'{"height": 9}', **known))[0] == 409
            status, told = await ask("POST", "/start", b'{"name": "../../etc/x", "height": 1.8}', **known)
            assert (status, told["phase"]) == (200, "measuring")
            wish = show.viewer.calibrations.wish
            assert wish is not None
            assert wish.out == str(tmp_path / "etc-x.json")
            assert (await ask("POST", "/cancel", **known))[1]["phase"] == "cancelled"
            assert (await ask("GET", "", **known))[1]["phase"] == "cancelled"

    asyncio.run(test())


def test_somebodys_own_body_is_shown_to_this_machine_only(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    async def mesh() -> int:
        async with (
            aiohttp.ClientSession() as web,
            web.get(f"{show.base}/api/mesh", headers=show.bearer) as answer,
        ):
            return answer.status

    server = show.viewer._ready[2]
    assert asyncio.run(mesh()) == 200
    monkeypatch.setattr(page_server, "is_loopback", lambda host: False)
    assert asyncio.run(mesh()) == 200  # the embedded body is free
    server._body = page_server.PAGE / "own.npz"
    assert asyncio.run(mesh()) == 403
