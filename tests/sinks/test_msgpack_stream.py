import io

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biopose_live.sinks.msgpack_stream import MAX_MESSAGE_BYTES, NotMessagePack, object_end, split

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=400)
    | st.binary(max_size=400)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=300)),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=5), inner, max_size=20),
    max_leaves=40,
)


@given(st.lists(VALUES, max_size=8))
def test_cuts_where_the_msgpack_package_does(values):
    parts = [msgpack.packb(value) for value in values]
    assert list(split(io.BytesIO(b"".join(parts)))) == parts


@given(st.lists(VALUES, min_size=1, max_size=4), st.data())
def test_a_cut_off_stream_gives_its_whole_objects(values, data):
    parts = [msgpack.packb(value) for value in values]
    whole = b"".join(parts)
    cut = data.draw(st.integers(0, len(whole) - 1))
    found = list(split(io.BytesIO(whole[:cut])))
    assert found == parts[: len(found)]
    unpacker = msgpack.Unpacker(io.BytesIO(whole[:cut]), strict_map_key=False)
    assert len(found) == sum(1 for _ in unpacker)


@pytest.mark.parametrize("size", [0, 31, 32, 255, 256, 65_535, 65_536])
def test_every_length_class(size):
    for value in ("x" * size, b"x" * size, [1] * size, {str(i): i for i in range(size)}):
        packed = msgpack.packb(value)
        assert object_end(packed) == len(packed)
        assert object_end(packed[:-1]) in (None, 0) or size == 0


@given(st.binary(max_size=300))
def test_arbitrary_bytes_end_in_pieces_or_a_complaint(data):
    try:
        pieces = list(split(io.BytesIO(data)))
    except NotMessagePack:
        return
    assert data.startswith(b"".join(pieces))


def test_a_length_that_cannot_be_is_refused_at_once():
    with pytest.raises(NotMessagePack, match="longer than"):
        list(split(io.BytesIO(b"\xdd\xff\xff\xff\xff" + b"\x00" * 10)))


def test_objects_larger_than_a_read_are_found():
    parts = [msgpack.packb(b"x" * (3 * 1024 * 1024)), msgpack.packb([1, 2])]
    assert list(split(io.BytesIO(b"".join(parts)))) == parts
    assert len(parts[0]) < MAX_MESSAGE_BYTES
