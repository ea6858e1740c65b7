"""A landmark network as an ONNX model, so that ONNX Runtime can be timed on it: `bench/encoders.py`.

Only the operators that BlazePose's landmark networks are made of are known.  TensorFlow Lite keeps pictures as height,
width, channels and ONNX as channels, height, width, hence the transposition at both ends.  Needs the package `onnx`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 10
RELU6 = 3


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """-> cells added before and after, as TensorFlow's SAME does."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Conversion:
    """One subgraph.  Raises ValueError on an operator that no landmark network has."""

    def __init__(self, network: bytes) -> None:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(network), 0))
        names = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
        self._codes = [names[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes]
        self._buffers, self._graph = model.buffers, model.subgraphs[0]
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._names: dict[int, str] = {}
        self._widened: dict[int, NDArray[np.float32]] = {}  # weights that the file keeps as 16-bit floats

    def __call__(self) -> bytes:
        """-> the ONNX model; inputs and outputs as the TensorFlow Lite model has them."""
        given = int(self._graph.inputs[0])
        self._names[given] = self._node("Transpose", ["input"], perm=(0, 3, 1, 2))
        for op in self._graph.operators:
            self._convert(self._codes[op.opcodeIndex], op)
        outputs = []
        for i, tensor in enumerate(self._graph.outputs):
            shape = [int(n) for n in self._graph.tensors[tensor].shape]
            picture = len(shape) == 4
            self._node(
                "Transpose" if picture else "Identity",
                [self._names[int(tensor)]],
                f"output{i}",
                **({"perm": (0, 2, 3, 1)} if picture else {}),
            )
            outputs.append(helper.make_tensor_value_info(f"output{i}", TensorProto.FLOAT, shape))
        shape = [int(n) for n in self._graph.tensors[given].shape]
        inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self._nodes, "landmarks", inputs, outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    def _node(self, kind: str, inputs: list[str], output: str = "", **settings: object) -> str:
        output = output or f"{kind}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **settings))
        return output

    def _constant(self, values: NDArray[Any]) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _values(self, tensor: int, kind: type[np.generic]) -> NDArray[Any]:
        if tensor in self._widened:
            return self._widened[tensor]
        held = self._graph.tensors[tensor]
        data = self._buffers[held.buffer].data
        return np.frombuffer(np.ascontiguousarray(data).tobytes(), kind).reshape(held.shape)

    def _size(self, tensor: int) -> list[int]:
        """-> height, width"""
        return [int(n) for n in self._graph.tensors[tensor].shape[1:3]]

    def _convert(self, name: str, op: Any) -> None:
        inputs = [int(t) for t in op.inputs]
        options, output = op.builtinOptions, int(op.outputs[0])
        if name == "DEQUANTIZE":
            self._widened[output] = self._values(inputs[0], np.float16).astype(np.float32)
            return
        first = self._names[inputs[0]]
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            weights = self._values(inputs[1], np.float32)
            depthwise = name == "DEPTHWISE_CONV_2D"
            weights = weights.transpose(3, 0, 1, 2) if depthwise else weights.transpose(0, 3, 1, 2)
            made = self._node(
                "Conv",
                [first, self._constant(weights), self._constant(self._values(inputs[2], np.float32))],
                strides=(options.strideH, options.strideW),
                group=weights.shape[0] if depthwise else 1,
                pads=self._pads(options, inputs[0], weights.shape[2:]),
            )
        elif name == "MAX_POOL_2D":
            kernel = options.filterHeight, options.filterWidth
            strides, pads = (options.strideH, options.strideW), self._pads(options, inputs[0], kernel)
            made = self._node("MaxPool", [first], kernel_shape=kernel, strides=strides, pads=pads)
        elif name == "ADD":
            made = self._node("Add", [first, self._names[inputs[1]]])
        elif name == "PAD":
            before, after = self._values(inputs[1], np.int32)[[0, 3, 1, 2]].astype(np.int64).T
            made = self._node("Pad", [first, self._constant(np.concatenate([before, after]))])
        elif name == "RESIZE_BILINEAR":
            mode = "half_pixel" if options.halfPixelCenters else "asymmetric"
            if options.alignCorners:
                mode = "align_corners"
            sizes = [int(n) for n in self._graph.tensors[output].shape]
            wanted = self._constant(np.array([sizes[0], sizes[3], *sizes[1:3]], np.int64))
            made = self._node("Resize", [first, "", "", wanted], mode="linear", coordinate_transformation_mode=mode)
        elif name == "RESHAPE":
            # Only of vectors here, which no order of axes changes.
            shape = np.array(self._graph.tensors[output].shape, np.int64)
            made = self._node("Reshape", [first, self._constant(shape)])
        elif name == "LOGISTIC":
            made = self._node("Sigmoid", [first])
        else:
            raise ValueError(f"no landmark network has the operator {name}")
        if getattr(options, "fusedActivationFunction", 0) == RELU6:
            bounds = [self._constant(np.float32(bound)) for bound in (0, 6)]
            made = self._node("Clip", [made, *bounds])
        self._names[output] = made

    def _pads(self, options: Any, tensor: int, kernel: tuple[int, ...]) -> list[int]:
        if options.padding == schema.Padding.VALID:
            return [0, 0, 0, 0]
        sides = zip(self._size(tensor), kernel, (options.strideH, options.strideW), strict=True)
        before, after = zip(*(same_padding(*side) for side in sides), strict=True)
        return [*before, *after]
