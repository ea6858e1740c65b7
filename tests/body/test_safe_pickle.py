"""Pickles that must be read (SMPL's own kinds) and pickles that must never run (attacks)."""

import builtins
import collections
import contextlib
import os
import pickle
import pickletools
import subprocess
import sys
import types

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_matrix, csr_matrix

from biopose_live.body.safe_pickle import UnsafePickle, load_arrays


def written(path, value, protocol=2):
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_scipy_matrices_survive_every_protocol(tmp_path, protocol):
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((24, 50)) < 0.2, rng.normal(size=(24, 50)), 0.0)
    content = {
        "double": rng.normal(size=(7, 3)),
        "single": rng.normal(size=(4, 3, 2)).astype(np.float32),
        "fortran": np.asfortranarray(rng.normal(size=(3, 5))),
        "faces": rng.integers(0, 9, (6, 3)).astype(np.uint32),
        "by_column": csc_matrix(dense),
        "by_row": csr_matrix(dense),
        "style": "text is dropped",
    }
    arrays = load_arrays(written(tmp_path / "a.pkl", content, protocol))
    for name in ("double", "single", "fortran", "faces"):
        np.testing.assert_array_equal(arrays[name], content[name])
        assert arrays[name].dtype == content[name].dtype
    np.testing.assert_array_equal(arrays["by_column"], dense)
    np.testing.assert_array_equal(arrays["by_row"], dense)
    assert "style" not in arrays


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_chumpy_arrays_give_their_value(tmp_path, monkeypatch, protocol):
    class Ch:
        def __init__(self, x):
            self.x, self.dirty_vars = x, None

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module = types.ModuleType("chumpy.ch")
    module.Ch = Ch
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    value = np.random.default_rng(0).normal(size=(5, 3, 10))
    stream = pickle.dumps({"shapedirs": Ch(value)}, protocol=protocol)
    monkeypatch.delitem(sys.modules, "chumpy.ch")
    np.testing.assert_array_equal(load_arrays(written(tmp_path / "c.pkl", stream))["shapedirs"], value)


def test_python_2_text_for_array_bytes_is_read_as_latin_1(tmp_path):
    # Protocol 2 as Python 2 wrote it: the array's bytes are a str (BINSTRING), not a bytes object.
    array = np.array([-1.5, 2.0e300, np.pi])
    stream = (
        b"\x80\x02}U\x01ac" + b"numpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K\x03\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"U" + bytes([24]) + array.tobytes() + b"tbs."
    )
    pickletools.dis(stream, out=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    np.testing.assert_array_equal(load_arrays(written(tmp_path / "old.pkl", stream))["a"], array)


class Runs:
    """Unpickling this calls `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


ATTACKS = {
    "os.system": lambda marker: Runs(os.system, f"touch {marker}"),
    "subprocess": lambda marker: Runs(subprocess.check_call, ["touch", marker]),
    "eval": lambda marker: Runs(builtins.eval, f"open({marker!r}, 'w')"),
    "exec": lambda marker: Runs(builtins.exec, f"open({marker!r}, 'w')"),
    "open": lambda marker: Runs(builtins.open, marker, "w"),
    "getattr": lambda marker: Runs(getattr, "text", "upper"),
    "numpy load": lambda marker: Runs(np.load, marker),
    "numpy memmap": lambda marker: Runs(np.memmap, marker, np.uint8, "w+", 0, (4,)),
    "numpy fromfile": lambda marker: Runs(np.fromfile, marker),
    "import": lambda marker: Runs(builtins.__import__, "os"),
    "ordered dict": lambda marker: collections.OrderedDict(a=1),
}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_attacks_are_refused_before_they_run(tmp_path, name, protocol):
    marker = tmp_path / "ran"
    path = written(tmp_path / "evil.pkl", {"v_template": ATTACKS[name](str(marker))}, protocol)
    with pytest.raises(UnsafePickle):
        load_arrays(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "stream",
    [
        b"cposix\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0bload.__self__\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile\x93.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85U\x01b\x87R.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00rot\x86R.",
        b"Ppersistent\n.",
        b"\x80\x02]q\x00.",
        b"",
        b"not a pickle at all",
        b"\x80\x02cscipy.sparse.csc\ncsc_matrix\n)\x81}(X\x04\x00\x00\x00dataK\x01ub}X\x01\x00\x00\x00ah\x00s.",
    ],
)
def test_crafted_streams_are_refused(tmp_path, stream):
    with pytest.raises(UnsafePickle):
        load_arrays(written(tmp_path / "crafted.pkl", stream))


def test_a_matrix_with_indices_outside_its_shape_is_refused(tmp_path):
    matrix = csc_matrix(np.eye(4))
    matrix.indices = matrix.indices + 100
    with pytest.raises(UnsafePickle, match="damaged"):
        load_arrays(written(tmp_path / "m.pkl", {"J_regressor": matrix}))


def test_object_arrays_are_dropped(tmp_path):
    arrays = load_arrays(written(tmp_path / "o.pkl", {"a": np.array([None, 1], dtype=object), "b": np.arange(3)}))
    assert set(arrays) == {"b"}


@pytest.mark.parametrize("flags", [1, 63, 255])
def test_a_number_type_that_claims_to_hold_pointers_stays_a_number(tmp_path, flags):
    array = np.arange(4.0)
    kind = pickle.dumps(array, protocol=2)
    plain = b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"  # element size, alignment, flags
    assert plain in kind
    stream = kind.replace(plain, plain[:-2] + bytes([flags]) + b"t")
    stream = b"\x80\x02}X\x01\x00\x00\x00a" + stream[2:-1] + b"s."
    np.testing.assert_array_equal(load_arrays(written(tmp_path / "p.pkl", stream))["a"], array)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 900), position=st.integers(0, 900), byte=st.integers(0, 255))
def test_damaged_streams_raise_nothing_else(tmp_path, cut, position, byte):
    stream = bytearray(pickle.dumps({"a": np.arange(20.0), "m": csc_matrix(np.eye(5))}, protocol=2))
    stream[position % len(stream)] = byte
    stream = stream[: max(1, len(stream) - cut % 40)]
    with contextlib.suppress(UnsafePickle):
        assert isinstance(load_arrays(written(tmp_path / "f.pkl", bytes(stream))), dict)
