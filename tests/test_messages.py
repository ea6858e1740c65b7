import contextlib

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from biopose_live.messages import (
    Decoder,
    Detected,
    Detections,
    FrameRef,
    Intrinsics,
    Meshes,
    MeshPerson,
    encode,
)

FRAME = FrameRef(seq=3, t_capture=10**12, width=640, height=480, slot=2, generation=8, dropped=1)


def person() -> MeshPerson:
    rng = np.random.default_rng(0)
    return MeshPerson(
        id=4,
        confidence=0.5,
        box=rng.random(4),
        keypoints=rng.random((33, 3), np.float32),
        theta=rng.random((24, 3)),
        theta_sigma=rng.random((24, 3)),
        betas=rng.random(10),
        translation=rng.random(3),
        joints=rng.random((24, 3)),
        landmarks=np.zeros((33, 3)),
        markers=rng.random((89, 3)).astype(np.float32),
        up=np.array([0.0, -1.0, 0.0]),
        settled=True,
    )


def assert_same(found: msgspec.Struct, sent: msgspec.Struct) -> None:
    for field in sent.__struct_fields__:
        one, other = getattr(found, field), getattr(sent, field)
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype, field
            np.testing.assert_array_equal(one, other, err_msg=field)
        elif isinstance(other, list):
            assert len(one) == len(other)
            for a, b in zip(one, other, strict=True):
                assert_same(a, b)
        else:
            assert one == other, field


def test_a_frame_reference_travels():
    assert Decoder(FrameRef).decode(encode(FRAME)) == FRAME


def test_detections_travel_bit_for_bit():
    detected = Detected(1, 0.9, np.arange(4.0), np.ones((33, 3), np.float32), np.zeros((33, 3), np.float32))
    sent = Detections(FRAME, [detected], {"detection": 12.5})
    assert_same(Decoder(Detections).decode(encode(sent)), sent)


def test_meshes_travel_bit_for_bit():
    sent = Meshes(FRAME, Intrinsics(900.0, (320.0, 240.0)), [person(), person()], {"mqhmr": 8.0})
    assert_same(Decoder(Meshes).decode(encode(sent)), sent)


@given(
    hnp.arrays(
        dtype=st.sampled_from([np.float32, np.float64, np.int32, np.uint8]),
        shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
    )
)
def test_any_array_travels(array):
    sent = Detected(0, 0.0, array, array.T, array[::-1])
    found = Decoder(Detected).decode(encode(sent))
    for name in ("box", "keypoints", "world"):
        np.testing.assert_array_equal(getattr(found, name), getattr(sent, name))
        assert getattr(found, name).dtype == array.dtype
        assert getattr(found, name).flags.writeable


def test_numpys_numbers_travel_as_plain_ones():
    found = Decoder(Detected).decode(encode(Detected(np.int64(5), np.float32(0.5), *[np.zeros(1)] * 3)))
    assert (found.id, found.confidence) == (5, 0.5)


def test_what_cannot_travel_is_said():
    with pytest.raises(NotImplementedError, match="object does not travel"):
        encode(Detected(0, 0.0, object(), np.zeros(1), np.zeros(1)))


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_refused_as_decode_errors(data):
    for kind in (FrameRef, Detections, Meshes):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            Decoder(kind).decode(data)


@pytest.mark.parametrize(
    "array",
    [
        None,
        [],
        ["<f8", [3], b"1234"],
        ["<f8", [-1, -1], b"12345678"],
        ["|O", [1], b"12345678"],
        ["no type", [1], b"12345678"],
        ["<f8", ["x"], b"12345678"],
        [1, 2, 3],
    ],
)
def test_an_array_that_is_none_is_refused(array):
    fields = {"id": 1, "confidence": 0.5, "box": array, "keypoints": array, "world": array}
    with pytest.raises(msgspec.DecodeError):
        Decoder(Detected).decode(msgpack.packb(fields))
