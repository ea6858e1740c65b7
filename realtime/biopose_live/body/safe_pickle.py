"""Open SMPL's .pkl without running anything: arrays, scipy sparse matrices and chumpy arrays, and nothing else.

A pickle names the functions that rebuild its objects, so an untouched `pickle.load` runs whatever a file says
(Python's `pickle` documentation, "Restricting Globals"). Here every name outside a short list is refused; scipy's and
chumpy's classes are replaced by stand-ins that only hold their fields, so neither package is needed or executed.

SMPL's files were written by Python 2: text is decoded as latin-1, the only codec that leaves array bytes unchanged.
"""

from __future__ import annotations

import codecs
import pickle
from pathlib import Path
from typing import Any

import numpy as np

MAX_PICKLE_BYTES = 1 << 30  # SMPL's own files have at most 0.25 GB


class UnsafePickle(ValueError):
    """The file holds something other than arrays, or is not a pickle. The text says what."""


class _ChumpyArray:
    """Stand-in for chumpy's `Ch`: its value lives in the field `x`."""

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
            data, indices, pointers = (np.asarray(self.fields[k]) for k in ("data", "indices", "indptr"))
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


def _reconstruct_array(subtype: type, shape: tuple[int, ...], typecode: Any) -> np.ndarray:
    """numpy's own empty array for __setstate__ to fill; subclasses are not admitted."""
    if subtype is not np.ndarray or not isinstance(shape, tuple) or int(np.prod(shape, dtype=float)) > 1 << 28:
        raise UnsafePickle("an array in it has an unknown type or size")
    return np.ndarray.__new__(np.ndarray, shape, typecode)


def _array_from_buffer(raw: bytes | bytearray, kind: Any, shape: tuple[int, ...], order: str, *axes: Any) -> np.ndarray:
    """numpy's rebuilding of contiguous arrays in protocol 5, for plain numbers."""
    if not isinstance(raw, bytes | bytearray) or np.dtype(kind).hasobject or order not in ("C", "F") or axes:
        raise UnsafePickle("an array in it has an unknown type or order")
    return np.frombuffer(raw, dtype=kind).reshape(shape, order=order)  # type: ignore[call-overload]


def _array_scalar(kind: np.dtype, raw: bytes | str = b"") -> Any:
    data = raw.encode("latin1") if isinstance(raw, str) else raw
    if kind.hasobject:
        raise UnsafePickle("it holds a number of no fixed kind")
    return np.frombuffer(data, dtype=kind, count=1)[0]


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
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
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


class _ArrayUnpickler(pickle.Unpickler):
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
            content = _ArrayUnpickler(file, encoding="latin1").load()
    except UnsafePickle:
        raise
    except Exception as error:  # a damaged stream can raise almost anything from inside the unpickler
        raise UnsafePickle(f"it is not a readable pickle ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise UnsafePickle("it does not hold a dictionary of arrays")
    arrays: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, _SparseMatrix):
            value = value.dense()
        elif isinstance(value, _ChumpyArray):
            value = value.value
        if isinstance(key, str) and isinstance(value, np.ndarray) and not value.dtype.hasobject:
            arrays[key] = value
    return arrays
