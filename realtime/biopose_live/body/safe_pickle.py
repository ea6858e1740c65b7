"""Open SMPL's .pkl without running anything: arrays, scipy sparse matrices and chumpy arrays, and nothing else.

A pickle names the functions that rebuild its objects, so an untouched `pickle.load` runs whatever a file says
(Python's `pickle` documentation, "Restricting Globals"). Here every name outside a short list is refused, and the names
on it lead to stand-ins that only hold their fields: scipy's and chumpy's classes are neither needed nor executed, and
NumPy's own unpickling, which trusts a file's type flags, is not used either.

SMPL's files were written by Python 2: text is decoded as latin-1, the only codec that leaves array bytes unchanged.
"""

from __future__ import annotations

import codecs
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

MAX_PICKLE_BYTES = 1 << 30  # SMPL's own files have at most 0.25 GB


class UnsafePickle(ValueError):
    """The file holds something other than arrays, or is not a pickle. The text says what."""


class _Kind:
    """Stand-in for `numpy.dtype`: plain numbers of a fixed size; `dtype` is None for anything else."""

    def __init__(self, code: str = "", *flags: object) -> None:
        known = isinstance(code, str) and re.fullmatch(r"[<>|=]?(b1|[iu][1248]|f[248]|c8|c16)", code)
        self.dtype = np.dtype(code) if known else None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise UnsafePickle("an array in it has an unknown byte order")
        if self.dtype is not None:
            self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """Stand-in for `numpy.ndarray`; `value` is None for arrays of anything but numbers."""

    value: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise UnsafePickle("an array in it is damaged")
        shape, kind, fortran, raw = state[-4:]
        self.value = _numbers(raw, kind, shape, "F" if fortran else "C")


def _numbers(raw: Any, kind: Any, shape: Any, order: str) -> np.ndarray | None:
    data = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(kind, _Kind) or not isinstance(shape, tuple) or not all(isinstance(n, int) for n in shape):
        raise UnsafePickle("an array in it is damaged")
    if kind.dtype is None or not isinstance(data, bytes):
        return None
    # A private copy: writable, and in this machine's byte order.
    return np.frombuffer(data, kind.dtype).reshape(shape, order=order).astype(kind.dtype.newbyteorder("="))  # type: ignore[call-overload]


class _ChumpyArray:
    """Stand-in for chumpy's `Ch`: its value lives in the field `x`."""

    value: Any = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.value = state.get("x") if isinstance(state, dict) else None


class _SparseMatrix:
    """Stand-in for scipy's csc and csr matrices: data, indices, indptr and shape."""

    by_column = True

    def __setstate__(self, state: dict[str, Any]) -> None:
        if not isinstance(state, dict):
            raise UnsafePickle("a sparse matrix in it has no fields")
        self.fields = state

    def dense(self) -> np.ndarray:
        try:
            shape = tuple(int(n) for n in self.fields["_shape" if "_shape" in self.fields else "shape"])
            data, indices, pointers = (np.asarray(plain_arrays(self.fields[k])) for k in ("data", "indices", "indptr"))
            rows, columns = shape if self.by_column else shape[::-1]
            if not 0 < rows * columns <= 1 << 27 or len(pointers) != columns + 1:
                raise ValueError("sizes do not fit")
            array = np.zeros((columns, rows))
            counts = np.diff(pointers)
            np.add.at(array, (np.repeat(np.arange(columns), counts), indices.astype(int)), data.astype(float))
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise UnsafePickle("a sparse matrix in it is damaged") from error
        return array.T if self.by_column else array


class _RowMatrix(_SparseMatrix):
    by_column = False


def _bytes_of(text: str, encoding: str = "latin1") -> bytes:
    """What Python 3 writes for array bytes in old protocols: `codecs.encode`, limited to latin-1."""
    if encoding not in ("latin1", "latin-1"):
        raise UnsafePickle(f"it asks for the codec {encoding!r}")
    return codecs.latin_1_encode(text)[0]


def _reconstruct_array(subtype: type, *unused: object) -> _Array:
    """An empty array, to be filled by its state; subclasses are not admitted."""
    if subtype is not _Array:
        raise UnsafePickle("an array in it has an unknown type")
    return _Array()


def _array_from_buffer(raw: Any, kind: Any, shape: Any, order: Any, *axes: object) -> _Array:
    """A contiguous array as protocol 5 writes it."""
    if order not in ("C", "F") or axes:
        raise UnsafePickle("an array in it has an unknown order")
    array = _Array()
    array.value = _numbers(bytes(raw) if isinstance(raw, bytearray) else raw, kind, shape, order)
    return array


def _array_scalar(kind: Any, raw: Any = b"") -> Any:
    value = _numbers(raw, kind, (), "C")
    return None if value is None else value[()]


def plain_arrays(value: Any) -> Any:
    """The NumPy array that a stand-in holds, or the value itself."""
    if isinstance(value, _SparseMatrix):
        return value.dense()
    if isinstance(value, _ChumpyArray):
        value = value.value
    return value.value if isinstance(value, _Array) else value


def _copy_reconstruct(cls: type, base: type, state: Any) -> Any:
    """`copyreg._reconstructor` for the stand-ins alone."""
    if cls not in (_ChumpyArray, _SparseMatrix, _RowMatrix) or base is not object:
        raise UnsafePickle("it rebuilds an object of an unknown class")
    return cls.__new__(cls)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _bytes_of,
    ("copy_reg", "_reconstructor"): _copy_reconstruct,
    ("copyreg", "_reconstructor"): _copy_reconstruct,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Kind,
}
for _core in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[(_core, "_reconstruct")] = _reconstruct_array
    _ALLOWED[(_core, "scalar")] = _array_scalar
for _core in ("numpy.core.numeric", "numpy._core.numeric"):
    _ALLOWED[(_core, "_frombuffer")] = _array_from_buffer
for _module in ("scipy.sparse", "scipy.sparse.csc", "scipy.sparse._csc"):
    _ALLOWED[(_module, "csc_matrix")] = _SparseMatrix
for _module in ("scipy.sparse", "scipy.sparse.csr", "scipy.sparse._csr"):
    _ALLOWED[(_module, "csr_matrix")] = _RowMatrix
for _module in ("chumpy.ch", "chumpy"):
    _ALLOWED[(_module, "Ch")] = _ChumpyArray


class ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[(module, name)]
        except KeyError:
            raise UnsafePickle(f"it asks for {module}.{name}, which is not an array type") from None

    def persistent_load(self, pid: Any) -> Any:
        raise UnsafePickle("it refers to data outside itself")


def load_arrays(path: Path) -> dict[str, Any]:
    """The pickle's dictionary, its arrays, sparse matrices (densified) and chumpy arrays as NumPy arrays.

    Other values are dropped. Raises UnsafePickle when the file asks for anything but arrays or cannot be read.
    """
    if path.stat().st_size > MAX_PICKLE_BYTES:
        raise UnsafePickle("it is larger than any SMPL file")
    try:
        with path.open("rb") as file:
            content = ArrayUnpickler(file, encoding="latin1").load()
    except UnsafePickle:
        raise
    except Exception as error:  # a damaged stream can raise almost anything from inside the unpickler
        raise UnsafePickle(f"it is not a readable pickle ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise UnsafePickle("it does not hold a dictionary of arrays")
    arrays: dict[str, Any] = {}
    for key, held in content.items():
        value = plain_arrays(held)
        if isinstance(key, str) and isinstance(value, np.ndarray):
            arrays[key] = value
    return arrays
