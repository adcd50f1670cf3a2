"""A folder of made ONNX models that insightface takes for a detector and a recogniser.

The detector finds two faces in any picture that has something bright, and none in a dark one; the
recogniser is a fixed linear map of the aligned face.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 128
"""Side of the detector's input [pixels]."""

SMALL, LARGE = (24.0, 24.0, 40.0, 48.0), (36.0, 30.0, 96.0, 110.0)
"""Boxes of both faces (left, top, right, bottom) in a picture of that size [pixels]."""

_CENTRE = 64.0  # of the anchor that both faces are given relative to
_SCORES = (0.95, 0.85)
_KEYPOINTS = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))


def make_pack(folder: Path, needs_border: bool = False) -> Path:
    """Write detector and recogniser; return the folder.

    Args:
        folder: where to.
        needs_border: whether the detector, as real ones, misses faces that fill their picture: it
            finds none in a picture whose first line is bright.
    """
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_detector(needs_border), folder / "detector.onnx")
    onnx.save(_recogniser(), folder / "recogniser.onnx")
    return folder


def _detector(needs_border: bool) -> onnx.ModelProto:
    """SCRFD's outputs for strides 8, 16, 32: scores, boxes, key points; two anchors a place."""
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["brightest"], keepdims=0),
        helper.make_node("Clip", ["brightest", "none", "all"], ["bright"]),
    ]
    kept = [_tensor("none", np.float32(0)), _tensor("all", np.float32(1))]
    if needs_border:
        kept.append(numpy_helper.from_array(np.array([0], np.int64), "line"))
        nodes[1].output[0] = "bright_somewhere"
        nodes += [
            helper.make_node("Gather", ["input", "line"], ["first_line"], axis=2),
            helper.make_node("ReduceMax", ["first_line"], ["brightest_there"], keepdims=0),
            helper.make_node("Clip", ["brightest_there", "none", "all"], ["bright_there"]),
            helper.make_node("Sub", ["all", "bright_there"], ["bordered"]),
            helper.make_node("Mul", ["bright_somewhere", "bordered"], ["bright"]),
        ]
    outputs = []
    for kind, width in (("score", 1), ("box", 4), ("points", 10)):
        for stride in (8, 16, 32):
            count = 2 * (SIDE // stride) ** 2
            values = np.zeros((count, width), np.float32)
            if stride == 8:
                values[_anchors()] = _values(kind, stride)
            name = f"{kind}_{stride}"
            kept.append(_tensor(f"{name}_values", values))
            factor = "bright" if kind == "score" else "all"
            nodes.append(helper.make_node("Mul", [f"{name}_values", factor], [name]))
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [count, width]))
    return _model(nodes, [1, 3, SIDE, SIDE], outputs, kept)


def _anchors() -> list[int]:
    place = int(_CENTRE) // 8
    first = 2 * (place * (SIDE // 8) + place)
    return [first, first + 1]


def _values(kind: str, stride: int) -> np.ndarray:
    rows = []
    for box, score in zip((SMALL, LARGE), _SCORES, strict=True):
        left, top, right, bottom = box
        if kind == "score":
            rows.append([score])
        elif kind == "box":
            rows.append([_CENTRE - left, _CENTRE - top, right - _CENTRE, bottom - _CENTRE])
        else:
            across, down = right - left, bottom - top
            points = [(left + x * across, top + y * down) for x, y in _KEYPOINTS]
            rows.append([value - _CENTRE for point in points for value in point])
    scale = 1 if kind == "score" else stride
    return np.array(rows, np.float32) / scale


def _recogniser() -> onnx.ModelProto:
    matrix = np.random.default_rng(0).standard_normal((192, 512)).astype(np.float32)
    nodes = [
        helper.make_node(
            "AveragePool", ["input"], ["pooled"], kernel_shape=[14, 14], strides=[14, 14]
        ),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
    ]
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 512])
    return _model(nodes, [1, 3, 112, 112], [output], [_tensor("matrix", matrix)])


def _model(nodes: list, shape: list[int], outputs: list, kept: list) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "made", [image], outputs, kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def _tensor(name: str, values: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.float32), name)
