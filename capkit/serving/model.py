"""A SavedModel as a server holds it: versions on disk, signatures, and one call to run it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capkit.serving import api
from capkit.serving.errors import ServingError
from capkit.serving.launch import latest_version

Arrays = dict[str, NDArray[Any]]
DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of one signature, by alias: the tensor's name, type number and shape."""

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


class Model:
    """The latest version of a SavedModel, loaded into a TensorFlow session with one thread.

    Parameters
    ----------
    base_path : str or Path
        Folder with numbered version folders.
    name : str
        The name under which it is served.
    """

    def __init__(self, base_path: str | Path, name: str) -> None:
        from capkit.training import import_tensorflow

        self.name = name
        self.version = latest_version(base_path)
        folder = Path(base_path) / str(self.version)
        tensorflow = import_tensorflow()
        v1 = tensorflow.compat.v1
        options = v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=-1)
        self._session = v1.Session(graph=tensorflow.Graph(), config=options)
        self._not_found = (tensorflow.errors.InvalidArgumentError, ValueError, TypeError)
        with self._session.graph.as_default():
            graph = v1.saved_model.load(self._session, ["serve"], str(folder))
        self.signature_defs = dict(graph.signature_def)
        self._calls: dict[tuple[str, tuple[str, ...]], Any] = {}

    def signature(self, name: str) -> tuple[str, Signature]:
        """A signature by its name; empty means ``serving_default``."""
        name = name or DEFAULT_SIGNATURE
        if name not in self.signature_defs:
            raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        found = self.signature_defs[name]
        return name, Signature(dict(found.inputs), dict(found.outputs))

    def run(self, name: str, inputs: Arrays, outputs: tuple[str, ...]) -> list[NDArray[Any]]:
        """Execute a signature.

        Parameters
        ----------
        name : str
            Signature, as `signature` gives it back.
        inputs : dict of arrays
            One array an alias, checked by `check_inputs`.
        outputs : tuple of str
            Aliases of the wanted outputs, in this order.
        """
        call = self._calls.get((name, outputs))
        if call is None:
            found = self.signature_defs[name]
            call = self._session.make_callable(
                [found.outputs[alias].name for alias in outputs],
                feed_list=[found.inputs[alias].name for alias in sorted(found.inputs)],
            )
            self._calls[name, outputs] = call
        try:
            result: list[NDArray[Any]] = call(*(inputs[alias] for alias in sorted(inputs)))
        except self._not_found as error:
            raise ServingError("INVALID_ARGUMENT", str(error)) from None
        return result


def select_outputs(signature: Signature, wanted: Iterable[str]) -> tuple[str, ...]:
    """Aliases of the outputs that a request asks for; all of them without a filter."""
    chosen: list[str] = []
    for alias in wanted:
        if alias not in signature.outputs:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{','.join(sorted(signature.outputs))}}}.",
            )
        if alias in chosen:
            raise ServingError("INVALID_ARGUMENT", f"duplicate output tensor alias: {alias}")
        chosen.append(alias)
    return tuple(chosen or sorted(signature.outputs))


def read_inputs(signature: Signature, protos: Mapping[str, Any]) -> Arrays:
    """The arrays of a request, checked against the signature."""
    wanted = signature.inputs
    if len(protos) != len(wanted):
        extra, missing = sorted(set(protos) - set(wanted)), sorted(set(wanted) - set(protos))
        raise ServingError(
            "INVALID_ARGUMENT",
            f"input size does not match signature: {len(protos)}!={len(wanted)} "
            f"len({{{','.join(sorted(protos))}}}) != len({{{','.join(sorted(wanted))}}}). "
            f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}.",
        )
    arrays: Arrays = {}
    for alias, info in wanted.items():
        if alias not in protos:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Signature input alias: {alias}(feed name: {info.name}) not found in request "
                "and no default value provided. Inputs expected to be in the request "
                f"{{{','.join(sorted(protos))}}}, or default input alias set: ",
            )
        try:
            arrays[alias] = api.from_proto(protos[alias])
        except ValueError:
            raise ServingError("INVALID_ARGUMENT", f"tensor parsing error: {alias}") from None
    check_inputs(signature, arrays)
    return arrays


def check_inputs(signature: Signature, arrays: Arrays) -> None:
    """Refuse arrays of another type or shape than the signature's."""
    for alias, info in signature.inputs.items():
        array = arrays[alias]
        if info.dtype in api.TYPES and array.dtype != np.dtype(api.TYPES[info.dtype][0]):
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Expects input {alias} to be {np.dtype(api.TYPES[info.dtype][0])} "
                f"but {array.dtype} is provided",
            )
        shape = [dim.size for dim in info.tensor_shape.dim]
        fits = len(shape) == array.ndim and all(
            size in (-1, got) for size, got in zip(shape, array.shape, strict=True)
        )
        if not info.tensor_shape.unknown_rank and not fits:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"Input {alias} must have shape {shape}, got {list(array.shape)}",
            )
