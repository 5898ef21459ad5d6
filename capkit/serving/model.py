"""A SavedModel as a server holds it: its signatures, checks of what comes in, one call to run it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capkit.serving import api
from capkit.serving.launch import latest_version
from capkit.serving.metrics import ServingError

Arrays = dict[str, NDArray[Any]]


def refuse(text: str) -> ServingError:
    """An INVALID_ARGUMENT."""
    return ServingError("INVALID_ARGUMENT", text)


def _names(aliases: Iterable[str]) -> str:
    return "{" + ",".join(sorted(aliases)) + "}"


@dataclass(frozen=True)
class Tensor:
    """One input or output of a signature: its name in the graph, its type and shape (None if any)."""

    name: str
    dtype: int
    numpy_type: np.dtype[Any] | None
    shape: tuple[int, ...] | None


class Signature:
    """A signature of the model, its tensors by alias, read once: the message's own maps are slow to look up."""

    def __init__(self, definition: Any) -> None:
        self.definition = definition
        self.inputs = _tensors(definition.inputs)
        self.outputs = _tensors(definition.outputs)


def _tensors(infos: Mapping[str, Any]) -> dict[str, Tensor]:
    found = {}
    for alias, info in sorted(infos.items()):
        shape = tuple(dim.size for dim in info.tensor_shape.dim)
        known = None if info.tensor_shape.unknown_rank else shape
        numpy_type = api.TYPES[info.dtype][0] if info.dtype in api.TYPES else None
        found[alias] = Tensor(info.name, info.dtype, numpy_type, known)
    return found


class Model:
    """The latest version below ``base_path``, in a TensorFlow session that works in its caller's thread."""

    def __init__(self, base_path: str | Path, name: str) -> None:
        from capkit.training import import_tensorflow

        self.name = name
        self.version = latest_version(base_path)
        tensorflow = import_tensorflow()
        v1 = tensorflow.compat.v1
        options = v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=-1)
        self._session = v1.Session(graph=tensorflow.Graph(), config=options)
        self._refused = (tensorflow.errors.InvalidArgumentError, ValueError, TypeError)
        with self._session.graph.as_default():
            folder = str(Path(base_path) / str(self.version))
            graph = v1.saved_model.load(self._session, ["serve"], folder)
        self.signatures = {key: Signature(found) for key, found in graph.signature_def.items()}
        self._calls: dict[tuple[str, tuple[str, ...]], Any] = {}

    def run(self, name: str, inputs: Arrays, outputs: tuple[str, ...]) -> list[NDArray[Any]]:
        """Execute signature ``name`` on checked inputs; one array for each wanted output."""
        call = self._calls.get((name, outputs))
        if call is None:
            found = self.signatures[name]
            fetches = [found.outputs[alias].name for alias in outputs]
            feeds = [tensor.name for tensor in found.inputs.values()]
            call = self._session.make_callable(fetches, feed_list=feeds)
            self._calls[name, outputs] = call
        try:
            result: list[NDArray[Any]] = call(
                *(inputs[alias] for alias in self.signatures[name].inputs)
            )
        except self._refused as error:
            raise refuse(str(error)) from None
        return result


def select_outputs(signature: Signature, wanted: Iterable[str]) -> tuple[str, ...]:
    """Aliases of the outputs that a request asks for; all of them without a filter."""
    chosen: list[str] = []
    for alias in wanted:
        if alias not in signature.outputs:
            raise refuse(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_names(signature.outputs)}."
            )
        if alias in chosen:
            raise refuse(f"duplicate output tensor alias: {alias}")
        chosen.append(alias)
    return tuple(chosen or signature.outputs)


def read_inputs(signature: Signature, protos: Mapping[str, Any]) -> Arrays:
    """The arrays of a request, checked against the signature."""
    wanted = signature.inputs
    if len(protos) != len(wanted):
        raise refuse(
            f"input size does not match signature: {len(protos)}!={len(wanted)} "
            f"len({_names(protos)}) != len({_names(wanted)}). "
            f"Sent extra: {_names(set(protos) - set(wanted))}. "
            f"Missing but required: {_names(set(wanted) - set(protos))}."
        )
    arrays: Arrays = {}
    for alias, info in wanted.items():
        if alias not in protos:
            raise refuse(
                f"Signature input alias: {alias}(feed name: {info.name}) not found in request and "
                "no default value provided. Inputs expected to be in the request "
                f"{_names(protos)}, or default input alias set: "
            )
        try:
            arrays[alias] = api.from_proto(protos[alias])
        except ValueError:
            raise refuse(f"tensor parsing error: {alias}") from None
    check_inputs(signature, arrays)
    return arrays


def check_inputs(signature: Signature, arrays: Arrays) -> None:
    """Refuse arrays of another type or shape than the signature's."""
    for alias, wanted in signature.inputs.items():
        array, shape = arrays[alias], wanted.shape
        if wanted.numpy_type and array.dtype != wanted.numpy_type:
            raise refuse(
                f"Expects input {alias} to be {wanted.numpy_type} but {array.dtype} is provided"
            )
        if shape is not None and not (
            len(shape) == array.ndim
            and all(size in (-1, got) for size, got in zip(shape, array.shape, strict=True))
        ):
            raise refuse(f"Input {alias} must have shape {list(shape)}, got {list(array.shape)}")
