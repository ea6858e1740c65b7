"""Pictures that others' decoders read back."""

from __future__ import annotations

import io
import logging

import av
import numpy as np
import pytest
from aiortc.codecs.h264 import h264_depayload
from hypothesis import given
from hypothesis import strategies as st

from biopose_live.sinks.viewer import encoding
from biopose_live.sinks.viewer.encoding import JpegEncoder, VideoEncoder, fitted, rtp_timestamp

FRAME_NS = 33_333_333


def picture(n: int, width: int = 320, height: int = 240) -> np.ndarray:
    """A bright square that moves over a slope."""
    made = np.zeros((height, width, 3), np.uint8)
    made[...] = np.linspace(20, 120, width, dtype=np.uint8)[None, :, None]
    made[40:80, 10 * n : 10 * n + 40] = (200, 40, 40)
    return made


@given(st.integers(0, 2**62))
def test_timestamps_are_ticks_of_90_khz(t: int) -> None:
    assert rtp_timestamp(t) == int(t * 90_000 // 10**9) % 2**32
    assert (rtp_timestamp(t + 10**9) - rtp_timestamp(t)) % 2**32 == 90_000


@given(st.integers(2, 4000), st.integers(2, 4000))
def test_sizes_fit(width: int, height: int) -> None:
    w, h = fitted(width, height)
    assert w % 2 == h % 2 == 0
    assert max(w, h) <= 1280
    assert min(w, h) <= 720
    share = min(1.0, 1280 / max(width, height), 720 / min(width, height))
    assert abs(w - max(2.0, share * width)) <= 1.001
    assert abs(h - max(2.0, share * height)) <= 1.001


def test_known_sizes() -> None:
    assert fitted(1920, 1080) == (1280, 720)
    assert fitted(1080, 1920) == (720, 1280)
    assert fitted(640, 480) == (640, 480)


def test_ffmpeg_decodes_what_was_sent() -> None:
    encoder, decoder = VideoEncoder(), av.CodecContext.create("h264", "r")
    keys, worst = [], 0.0
    for n in range(20):
        sent = encoder.encode(picture(n), n * FRAME_NS, force_key=n == 12)
        assert sent is not None
        assert sent.timestamp == rtp_timestamp(n * FRAME_NS)
        assert max(map(len, sent.payloads)) <= 1300
        keys.append(sent.key)
        stream = b"".join(h264_depayload(payload) for payload in sent.payloads)
        (shown,) = decoder.decode(av.Packet(stream))
        worst = max(worst, float(np.abs(shown.to_ndarray(format="rgb24") - picture(n).astype(float)).mean()))
    assert [n for n, key in enumerate(keys) if key] == [0, 12]
    assert worst < 6.0


def test_a_joiner_can_begin_at_any_keyframe() -> None:
    encoder, decoder = VideoEncoder(), av.CodecContext.create("h264", "r")
    encoder.encode(picture(0), 0, False)
    sent = encoder.encode(picture(1), FRAME_NS, True)
    assert sent is not None
    assert sent.key
    assert len(decoder.decode(av.Packet(b"".join(h264_depayload(p) for p in sent.payloads)))) == 1


def test_time_that_stands_still_gives_no_picture() -> None:
    encoder = VideoEncoder()
    assert encoder.encode(picture(0), FRAME_NS, False) is not None
    assert encoder.encode(picture(1), FRAME_NS, False) is None


def test_another_size_begins_anew() -> None:
    encoder = VideoEncoder()
    encoder.encode(picture(0), 0, False)
    sent = encoder.encode(picture(0, 200, 180), FRAME_NS, False)
    assert sent is not None
    assert sent.key


def test_jpeg_is_read_by_ffmpeg() -> None:
    encoder = JpegEncoder()
    for n in range(3):
        data = encoder.encode(picture(n))
        with av.open(io.BytesIO(data), format="mjpeg") as container:
            (shown,) = container.decode(video=0)
        assert np.abs(shown.to_ndarray(format="rgb24") - picture(n).astype(float)).mean() < 6.0


def test_hardware_that_is_not_there_is_tried_once_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = []
    whole = encoding._context

    def absent(name: str, width: int, height: int) -> object:
        tried.append(name)
        if name == "h264_nvenc":
            raise av.error.FFmpegError(1, "no driver")
        return whole(name, width, height)

    monkeypatch.setattr(encoding, "_unusable", set())
    monkeypatch.setattr(encoding, "_context", absent)
    with caplog.at_level(logging.INFO):
        for size in (160, 320):
            assert encoding._open_encoder(size, 120).name == "libx264"
    assert tried == ["h264_nvenc", "libx264", "libx264"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "no driver" in said
