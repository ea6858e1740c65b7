import contextlib

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biopose_client import schema
from biopose_client.schema import SchemaError, pack, unpack

TEXT = st.text(max_size=8)
NUMBER = st.floats(allow_nan=False)
INTEGER = st.integers(-(2**63), 2**63 - 1)


def structs(kind: type[msgspec.Struct]) -> st.SearchStrategy:
    """Every field by its declared type."""
    fields = msgspec.inspect.type_info(kind).fields
    return st.builds(kind, **{f.name: of_type(f.type) for f in fields if f.name != "v"})


def of_type(kind: msgspec.inspect.Type) -> st.SearchStrategy:
    match kind:
        case msgspec.inspect.IntType():
            return INTEGER
        case msgspec.inspect.FloatType():
            return NUMBER
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.StrType():
            return TEXT
        case msgspec.inspect.ListType():
            return st.lists(of_type(kind.item_type), max_size=3)
        case msgspec.inspect.DictType():
            return st.dictionaries(of_type(kind.key_type), of_type(kind.value_type), max_size=3)
        case msgspec.inspect.StructType():
            return structs(kind.cls)
    raise AssertionError(f"no values for {kind}")


MESSAGES = st.one_of(structs(schema.Meta), structs(schema.Pose), structs(schema.Health))


@given(MESSAGES)
def test_what_is_packed_comes_back(message):
    assert unpack(pack(message)) == message


@given(MESSAGES)
def test_on_the_wire_it_is_a_topic_and_a_map_with_the_fields_names(message):
    """Read by the msgpack package, as any other client would."""
    topic, _, body = pack(message).partition(b" ")
    content = msgpack.unpackb(body, raw=False, strict_map_key=False)
    assert topic.decode() == type(message).__name__.lower()
    assert content == msgspec.to_builtins(message)
    assert content["v"] == schema.VERSION


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_with_schema_error_only(data):
    for part in (data, b"pose " + data, b"meta " + data, b"health " + data):
        with contextlib.suppress(SchemaError):
            unpack(part)


@given(MESSAGES, st.data())
def test_damaged_messages_are_refused_with_schema_error_only(message, data):
    part = bytearray(pack(message))
    for _ in range(data.draw(st.integers(1, 4))):
        part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SchemaError):
        unpack(bytes(part[: data.draw(st.integers(0, len(part)))]))


OTHER_VALUES = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=10,
)


@given(OTHER_VALUES)
def test_other_msgpack_values_are_refused(value):
    with pytest.raises(SchemaError):
        unpack(b"pose " + msgpack.packb(value))


def test_unknown_fields_are_ignored_at_every_depth(new_pose):
    pose = new_pose(3)
    content = msgpack.unpackb(pack(pose)[5:], raw=False)
    content["weather"] = {"sun": [1, 2, 3]}
    content["people"][0]["shoe_size"] = 42
    content["people"][0]["camera"]["maker"] = "x"
    content["v"] = "1.7"
    found = unpack(b"pose " + msgpack.packb(content))
    assert isinstance(found, schema.Pose)
    assert found.v == "1.7"
    found.v = pose.v
    assert found == pose


@pytest.mark.parametrize("version", ["2.0", "0.9", "10.0", "", "x"])
def test_another_major_version_is_refused_with_both_numbers(new_pose, version):
    pose = new_pose(0)
    pose.v = version
    with pytest.raises(SchemaError, match="the sender speaks schema") as caught:
        unpack(pack(pose))
    assert schema.VERSION in str(caught.value)
    assert "update" in str(caught.value)


def test_another_major_version_is_told_even_when_its_fields_differ():
    with pytest.raises(SchemaError, match=r"speaks schema 2\.1"):
        unpack(b"pose " + msgpack.packb({"v": "2.1", "persons": []}))


@pytest.mark.parametrize("missing", ["session", "seq", "people", "t_capture"])
def test_a_missing_field_is_named(new_pose, missing):
    content = msgpack.unpackb(pack(new_pose(0))[5:], raw=False)
    del content[missing]
    with pytest.raises(SchemaError, match=missing):
        unpack(b"pose " + msgpack.packb(content))


def test_a_strangers_topic_is_told(new_pose):
    with pytest.raises(SchemaError, match="is this a biopose-live socket"):
        unpack(b"weather {}")


def test_a_small_message_cannot_ask_for_much_memory():
    """A length field alone must not make the decoder allocate."""
    with pytest.raises(SchemaError):
        unpack(b"pose \x81\xa1v\xdb\xff\xff\xff\xff")
    with pytest.raises(SchemaError):
        unpack(b"pose " + b"\xdd\xff\xff\xff\xff")


def test_deep_nesting_is_refused():
    with pytest.raises(SchemaError):
        unpack(b"pose \x82\xa1v\xa31.0\xa1x" + b"\x91" * 100_000 + b"\xc0")


@pytest.mark.parametrize(
    "body", [b"\x81\xa1v\xa1\xff", b"\x81\xa1\xff\xa1\xff", b"\x82\xa1v\xa31.0\xa7session\xa1\xff"]
)
def test_text_that_is_no_utf8_is_refused(body):
    for topic in (b"pose ", b"meta ", b"health "):
        with pytest.raises(SchemaError):
            unpack(topic + body)
