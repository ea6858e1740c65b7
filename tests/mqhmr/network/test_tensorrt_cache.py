"""Engines are kept whole, and only one that fits in everything is given back."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biopose_live.mqhmr.network.tensorrt_cache import (
    MAGIC,
    EngineError,
    Key,
    Missing,
    cache_folder,
    engine_path,
    fingerprint,
    fits,
    kept,
    read,
    write,
)

KEY = Key(
    "NVIDIA RTX A4000", (8, 6), "2.13.0", "2.13.0", "11.0.0.114", "0123456789abcdef", (1, 3, 256, 192), "bfloat16"
)
OTHER = {
    "gpu": "NVIDIA H200", "capability": (9, 0), "torch": "2.14.0", "torch_tensorrt": "2.14.0", "tensorrt": "11.1",
    "shape": (1, 3, 256, 256), "precision": "float16",
}  # fmt: skip


def test_what_is_written_is_read(tmp_path):
    with pytest.raises(Missing, match="none has been built yet"):
        read(KEY, tmp_path)
    assert not fits(KEY, tmp_path)
    path = write(KEY, b"engine" * 1000, tmp_path / "deep")
    assert [p.name for p in path.parent.iterdir()] == ["encoder-0123456789abcdef-1.engine"]
    assert read(KEY, tmp_path / "deep") == b"engine" * 1000
    assert fits(KEY, tmp_path / "deep")
    assert kept(tmp_path / "deep") == [(path, KEY)]


@pytest.mark.parametrize("name", OTHER)
def test_an_engine_for_anything_else_is_stale_and_replaced(tmp_path, name):
    write(KEY, b"old", tmp_path)
    now = msgspec.structs.replace(KEY, **{name: OTHER[name]})
    with pytest.raises(EngineError, match=f"was built for {name} ") as caught:
        read(now, tmp_path)
    assert not isinstance(caught.value, Missing)
    assert not fits(now, tmp_path)
    write(now, b"new", tmp_path)
    assert read(now, tmp_path) == b"new"
    assert len(list(tmp_path.iterdir())) == 1


def test_networks_and_numbers_of_people_have_files_of_their_own(tmp_path):
    four = msgspec.structs.replace(KEY, shape=(4, 3, 256, 192))
    trained_on = msgspec.structs.replace(KEY, network="fedcba9876543210")
    for key in (KEY, four, trained_on):
        write(key, str(key).encode(), tmp_path)
    for key in (KEY, four, trained_on):
        assert read(key, tmp_path) == str(key).encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_damage_is_noticed_before_anything_is_loaded(tmp_path, data):
    path = write(KEY, b"engine" * 20, tmp_path)
    whole = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        whole[place] ^= data.draw(st.integers(1, 255))
    else:
        del whole[place:]
    path.write_bytes(whole)
    with pytest.raises(EngineError):
        read(KEY, tmp_path)


@pytest.mark.parametrize(
    "content", [b"", MAGIC, MAGIC + b"\xff\xff\xff\xff", MAGIC + b"\x00\x00\x00\x02{}", b"x" * 999]
)
def test_other_files_are_no_engines(tmp_path, content):
    engine_path(KEY, tmp_path).write_bytes(content)
    with pytest.raises(EngineError, match=r"damaged"):
        read(KEY, tmp_path)
    assert kept(tmp_path) == []


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(self, data):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write(KEY, b"engine", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "biopose-live" / "tensorrt"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "biopose-live" / "tensorrt"


def test_fingerprints_tell_weights_apart(tmp_path):
    (tmp_path / "a").write_bytes(b"1" * 100)
    (tmp_path / "b").write_bytes(b"1" * 99 + b"2")
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")
    assert len(fingerprint(tmp_path / "a")) == 16
