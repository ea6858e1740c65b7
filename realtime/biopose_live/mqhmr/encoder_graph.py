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
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 256  # px of the network's input
STRIDES = (4, 8, 16, 32)
CHANNELS = {"lite": (32, 32, 32, 192), "full": (48, 48, 48, 288), "heavy": (48, 48, 48, 288)}
MEMBER = "pose_landmarks_detector.tflite"
HEADS = {(1, 195): "keypoints", (1, 117): "world", (1, 1): "presence", (1, 64, 64, 39): "heatmaps"}


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
        except (TypeError, IndexError, KeyError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
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
        """-> (a .tflite file that computes the tensors `outputs` and nothing else, a digest of its weights).

        Its outputs have their order.  The digest is of the weights that are left, in the order of use: it tells another
        training of the same network, however the file is laid out.  Raises GraphError.  Once per object: it uses up
        what was read.
        """
        schema, graph = self._schema, self._graph
        needed, kept = set(outputs), []
        for name, op in reversed(self._operators):
            if needed.intersection(map(int, op.outputs)):
                kept.append((name, op))
                needed.update(int(t) for t in op.inputs if t >= 0)
        digest = hashlib.sha256()
        operators = []
        for name, op in reversed(kept):
            if name == "DEQUANTIZE":
                values = self._half_floats(int(op.inputs[0]))
                digest.update(values.tobytes())
                wide = schema.BufferT()
                wide.data = np.frombuffer(values.astype(np.float32).tobytes(), np.uint8)
                self._model.buffers.append(wide)
                graph.tensors[op.outputs[0]].buffer = len(self._model.buffers) - 1
            else:
                operators.append(op)
        used = {int(t) for op in operators for t in (*op.inputs, *op.outputs) if t >= 0} | set(map(int, graph.inputs))
        holders = {graph.tensors[t].buffer for t in used}
        for index, buffer in enumerate(self._model.buffers):
            if index not in holders:
                buffer.data = None
        graph.operators, graph.outputs = operators, np.asarray(outputs, np.int32)
        self._model.signatureDefs = self._model.metadata = None
        return self._packed(), digest.hexdigest()

    def _half_floats(self, tensor: int) -> NDArray[np.float16]:
        data = self._model.buffers[self._graph.tensors[tensor].buffer].data
        if data is None or len(data) != 2 * int(np.prod(self._shapes[tensor])):
            raise GraphError(f"its weights {self._graph.tensors[tensor].name!r} are cut short")
        return np.frombuffer(np.ascontiguousarray(data).tobytes(), np.float16)

    def _packed(self) -> bytes:
        import flatbuffers

        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
