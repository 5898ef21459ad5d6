"""TensorFlow Serving's messages and stubs without TensorFlow, and tensors to and from NumPy.

The package ``tensorflow-serving-api`` imports ``tensorflow``, which takes seconds, for a few message
classes. While this module loads, a stand-in whose search path is the installed package answers to that
name, so only the message classes are imported. A later ``import tensorflow`` is not affected.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@contextmanager
def _messages_only() -> Iterator[None]:
    if "tensorflow" in sys.modules:
        yield
        return
    spec = find_spec("tensorflow")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("tensorflow is not installed: run make lab", name="tensorflow")
    stand_in = ModuleType("tensorflow")
    stand_in.__path__ = list(spec.submodule_search_locations)
    sys.modules["tensorflow"] = stand_in
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


with _messages_only():
    from tensorflow.core.framework import tensor_pb2
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

__all__ = ["from_proto", "get_model_metadata_pb2", "get_model_status_pb2", "model_service_pb2_grpc"]
__all__ += [
    "predict_pb2",
    "predict_request",
    "prediction_service_pb2_grpc",
    "tensor_pb2",
    "to_proto",
]

#: DataType number -> (NumPy type, field that holds the values one by one)
TYPES: dict[int, tuple[np.dtype[Any], str]] = {
    1: (np.dtype(np.float32), "float_val"),
    2: (np.dtype(np.float64), "double_val"),
    3: (np.dtype(np.int32), "int_val"),
    4: (np.dtype(np.uint8), "int_val"),
    9: (np.dtype(np.int64), "int64_val"),
    10: (np.dtype(np.bool_), "bool_val"),
}
LARGEST_FILL = 2**24
NUMBERS = {numpy_type: number for number, (numpy_type, _) in TYPES.items()}


def to_proto(values: ArrayLike, *, raw: bool = True) -> Any:
    """A ``TensorProto`` of a float32, float64, int32, int64, uint8 or bool array.

    ``raw`` puts the bytes into ``tensor_content``; without it the values go one by one (``float_val``),
    as TensorFlow Serving answers by default. Another type raises `ValueError`.

    >>> to_proto(np.float32([1.5, 2.5]), raw=False).float_val
    [1.5, 2.5]
    """
    array = np.asarray(values)
    if array.dtype not in NUMBERS:
        allowed = ", ".join(str(t) for t in NUMBERS)
        raise ValueError(f"cannot send an array of {array.dtype}: convert it to one of {allowed}")
    number = NUMBERS[array.dtype]
    proto = tensor_pb2.TensorProto(dtype=number)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if raw:
        proto.tensor_content = array.tobytes()
    else:
        getattr(proto, TYPES[number][1]).extend(array.ravel().tolist())
    return proto


def from_proto(proto: Any) -> NDArray[Any]:
    """The array in a ``TensorProto``, whichever of its two forms holds the values.

    As in TensorFlow, the last of too few values is repeated, without any they are zero, and too many
    are cut. An empty message, another type than `to_proto`'s, a shape that is not known or bytes that
    do not fill it raise `ValueError`; so do values that would have to fill more than `LARGEST_FILL`.

    >>> from_proto(to_proto(np.eye(2))).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if proto.dtype not in TYPES:
        raise ValueError(f"tensor type {proto.dtype} is empty or not supported")
    numpy_type, name = TYPES[proto.dtype]
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError(f"the tensor's shape {shape} is not known")
    count = math.prod(shape)
    if proto.tensor_content:
        if len(proto.tensor_content) != count * numpy_type.itemsize:
            raise ValueError(f"{len(proto.tensor_content)} bytes do not fill shape {shape}")
        return np.frombuffer(proto.tensor_content, dtype=numpy_type).reshape(shape)
    values = np.array(getattr(proto, name), dtype=numpy_type)[:count]
    if values.size < count:
        if count > LARGEST_FILL:
            raise ValueError(f"{values.size} values do not fill shape {shape}")
        values = np.pad(values, (0, count - values.size), "edge" if values.size else "constant")
    return values.reshape(shape)


def predict_request(values: ArrayLike, model_name: str, *, input_name: str) -> Any:
    """A ``PredictRequest`` with one input for the default signature; ask the server for the names."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model_name
    request.inputs[input_name].CopyFrom(to_proto(values))
    return request
