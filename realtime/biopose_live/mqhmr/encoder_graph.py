"""BlazePose's landmark network as a graph: finds the feature maps inside it and cuts away what they do not need.

The network (Bazarevsky et al. 2020, figure 4; a TensorFlow Lite file, `schema.fbs` version 3) is an encoder whose
8 x 8 map is enlarged three times, each time added to a map of the encoder on the way down; the last sum, 64 x 64, feeds
the heatmaps.  A second branch goes down again from 8 x 8 to the keypoints.  Parts are found by what they are connected
to, never by a tensor's number, since the three sizes of the network number theirs differently:

* strides 4, 8, 16: the sums that enlarged maps go into,
* stride 32: the 8 x 8 map of the keypoint branch, the last before that is pooled (every size has one),
* heatmaps, keypoints, world, presence: the outputs, told apart by their shapes.

What was passed over: at stride 4, 8 and 16 the encoder's own maps, which do not see what the coarser ones know; at
stride 32 the encoder's last one, 3 times as deep (864 channels in `full`) for the same content; the 48-channel map that
the sums begin with, which they hold already; the 4 x 4 and 2 x 2 maps behind it, whose cells are as large as a limb;
the segmentation branch's 128 x 128 x 8, which tells the person from the background and nothing else.

Weights are kept as 16-bit floats in the file and widened here once, so that no engine does that at every call.

Whoever was taught on these maps depends on the very computation that makes them: its fingerprint, a digest of the
operators, how they are connected, their settings and their weights, tells it from another training of the network.  The
file as a whole cannot: metadata may be laid out otherwise in it.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 256  # px of the network's input
FORMAT_VERSION = 3
STRIDES = (4, 8, 16, 32)
CHANNELS = {"lite": (32, 32, 32, 192), "full": (48, 48, 48, 288), "heavy": (48, 48, 48, 288)}
MEMBER = "pose_landmarks_detector.tflite"
# An operator's settings that change its result; others are of quantised networks or were added to the format later.
SETTINGS = (
    *("padding", "strideW", "strideH", "dilationWFactor", "dilationHFactor", "depthMultiplier"),
    *("filterWidth", "filterHeight", "fusedActivationFunction", "alignCorners", "halfPixelCenters"),
)
HEADS = {(1, 195): "keypoints", (1, 117): "world", (1, 1): "presence", (1, 64, 64, 39): "heatmaps"}

# What the flatbuffers reader runs into in a damaged file.
_UNREADABLE = (
    *(TypeError, IndexError, KeyError, ValueError, AttributeError, RuntimeError, OverflowError, MemoryError),
    struct.error,
)


class GraphError(ValueError):
    """The file is not the network it should be; `str(error)` says what was found."""


def read_landmark_network(bundle: Path) -> bytes:
    """-> the landmark network's .tflite file out of a .task bundle; raises GraphError, OSError."""
    try:
        with zipfile.ZipFile(bundle) as archive:
            return archive.read(MEMBER)
    except (zipfile.BadZipFile, KeyError) as error:
        raise GraphError(f"it is no bundle that holds {MEMBER}") from error


class LandmarkGraph:
    """A landmark network, its maps found.  Raises GraphError when the bytes are no network of size `model`.

    `levels`: (height, width, channels) of each map, finest first.
    """

    def __init__(self, data: bytes, model: str) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
        if data[4:8] != b"TFL3":
            raise GraphError("it is no TensorFlow Lite file")
        try:
            self._model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(data), 0))
            (self._graph,) = self._model.subgraphs
            codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in self._model.operatorCodes]
            self._operators = [(names[codes[op.opcodeIndex]], op) for op in self._graph.operators]
            self._shapes = [tuple(int(n) for n in np.atleast_1d(tensor.shape)) for tensor in self._graph.tensors]
            self.heads = {HEADS[self._shapes[t]]: int(t) for t in self._graph.outputs if self._shapes[t] in HEADS}
            inputs = [self._shapes[t] for t in self._graph.inputs]
            self.maps = [*self._sums(), self._branch()]
        except _UNREADABLE as error:
            raise GraphError("its graph cannot be read") from error
        expected = [(1, SIDE // s, SIDE // s, c) for s, c in zip(STRIDES, CHANNELS[model], strict=True)]
        found = [self._shapes[t] for t in self.maps]
        if inputs != [(1, SIDE, SIDE, 3)] or found != expected or len(self.heads) != len(HEADS):
            raise GraphError(f"its feature maps are {found} and its outputs {sorted(self.heads)}")
        self.levels = tuple((h, w, c) for _, h, w, c in expected)

    def _sums(self) -> list[int]:
        """-> the sums that enlarged maps go into, at strides 4, 8, 16."""
        enlarged = {int(op.outputs[0]) for name, op in self._operators if name == "RESIZE_BILINEAR"}
        sums = {
            self._shapes[op.outputs[0]][1]: int(op.outputs[0])
            for name, op in self._operators
            if name == "ADD" and enlarged.intersection(map(int, op.inputs))
        }
        return [sums[SIDE // stride] for stride in STRIDES[:3]]

    def _branch(self) -> int:
        """-> the 8 x 8 map that is pooled."""
        pooled = [int(op.inputs[0]) for name, op in self._operators if name == "MAX_POOL_2D"]
        (found,) = [t for t in pooled if self._shapes[t][1] == SIDE // STRIDES[3]]
        return found

    def cut(self, outputs: list[int]) -> tuple[bytes, str]:
        """-> (a .tflite file that computes the tensors `outputs`, in that order, and nothing else; its fingerprint).

        Raises GraphError.  Once per object: it uses up what was read.
        """
        needed, kept = set(outputs), []
        for name, op in reversed(self._operators):
            if needed.intersection(map(int, op.outputs)):
                kept.append((name, op))
                needed.update(int(t) for t in op.inputs if t >= 0)
        kept.reverse()
        try:
            fingerprint = self._fingerprint(kept, outputs)
            for name, op in kept:
                if name == "DEQUANTIZE":
                    self._widen(op)
            self._keep([op for name, op in kept if name != "DEQUANTIZE"], outputs)
            return self._packed(), fingerprint
        except _UNREADABLE as error:
            raise GraphError("its graph cannot be read") from error

    def _keep(self, operators: list[Any], outputs: list[int]) -> None:
        """Throws everything but some operators and their tensors away, whatever is no part of the fingerprint too."""
        schema, graph = self._schema, self._graph
        used = sorted({int(t) for op in operators for t in (*op.inputs, *op.outputs)}.union(map(int, graph.inputs)))
        computed = {int(t) for op in operators for t in op.outputs}.union(map(int, graph.inputs))
        number = {tensor: i for i, tensor in enumerate(used)}

        def renumbered(tensors: Any) -> NDArray[np.int32]:
            return np.array([number[int(t)] for t in tensors], np.int32)

        buffers, tensors = [schema.BufferT()], []  # the first stands for "no data"
        for old in used:
            tensor, data = schema.TensorT(), None if old in computed else self._data(old)
            tensor.shape, tensor.type = np.array(self._shapes[old], np.int32), graph.tensors[old].type
            tensor.name = f"tensor{number[old]}".encode()  # some engines insist on one
            if data is not None:
                tensor.buffer = len(buffers)
                buffers.append(schema.BufferT())
                buffers[-1].data = data
            tensors.append(tensor)
        for op in operators:
            op.inputs, op.outputs = renumbered(op.inputs), renumbered(op.outputs)
            op.mutatingVariableInputs = op.intermediates = op.customOptions = op.builtinOptions2 = None
            op.builtinOptions2Type = op.largeCustomOptionsOffset = op.largeCustomOptionsSize = 0
        for code in self._model.operatorCodes:
            code.customCode = None
        graph.inputs, graph.outputs = renumbered(graph.inputs), renumbered(outputs)
        graph.operators, graph.tensors, self._model.buffers = operators, tensors, buffers
        self._model.version, self._model.description = FORMAT_VERSION, b""
        self._model.signatureDefs = self._model.metadata = self._model.metadataBuffer = None

    def _data(self, tensor: int) -> NDArray[np.uint8] | None:
        """-> the bytes of a constant, None for anything else."""
        data = self._model.buffers[self._graph.tensors[tensor].buffer].data
        return None if data is None else np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)

    def _fingerprint(self, operators: list[tuple[str, Any]], outputs: list[int]) -> str:
        """-> SHA-256, in which tensors count in the order in which they are first met, not by the file's numbers."""
        digest = hashlib.sha256()
        order: dict[int, int] = {}

        def met(tensors: Any) -> list[tuple[int, int, tuple[int, ...]]]:
            return [
                (order.setdefault(int(t), len(order)), int(self._graph.tensors[t].type), self._shapes[t])
                for t in tensors
            ]

        for name, op in operators:
            chosen = {key: getattr(op.builtinOptions, key, None) for key in SETTINGS}
            settings = [(key, int(value)) for key, value in chosen.items() if value is not None]
            kind = name, int(self._model.operatorCodes[op.opcodeIndex].version), int(op.builtinOptionsType)
            digest.update(repr((kind, settings, met(op.inputs), met(op.outputs))).encode())
            for tensor in op.inputs:
                data = self._data(tensor)
                if data is not None:
                    digest.update(data.tobytes())
        digest.update(repr(met(outputs)).encode())
        return digest.hexdigest()

    def _widen(self, dequantize: Any) -> None:
        """Puts 32-bit weights where the operator would have."""
        data = self._data(int(dequantize.inputs[0]))
        if data is None:
            raise GraphError("its weights are missing")
        wide = self._schema.BufferT()
        wide.data = data.view(np.float16).astype(np.float32).view(np.uint8)
        self._model.buffers.append(wide)
        self._graph.tensors[dequantize.outputs[0]].buffer = len(self._model.buffers) - 1

    def _packed(self) -> bytes:
        import flatbuffers

        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
