"""Which back end of Keras to use: the first that sees a GPU."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module, metadata
from importlib.util import find_spec

from capkit.training import import_tensorflow

BACKENDS = ("tensorflow", "jax", "torch")
ALLOCATE_AS_NEEDED = {
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
PACKAGES = {
    "tensorflow": ("tensorflow",),
    "jax": ("jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin"),
    "torch": ("torch",),
}


def gpu_of(backend: str) -> str | None:
    """Name of the GPU that an installed back end sees, or None."""
    if backend == "tensorflow":
        config = import_tensorflow().config
        devices = config.list_physical_devices("GPU")
        details = config.experimental.get_device_details(devices[0]) if devices else {}
        return str(details.get("device_name", "GPU")) if devices else None
    if backend == "jax":
        device = import_module("jax").devices()[0]
        return str(device.device_kind) if device.platform == "gpu" else None
    cuda = import_module("torch").cuda
    return str(cuda.get_device_name(0)) if cuda.is_available() else None


def choose_backend(say: Callable[[str], None] = print) -> tuple[str, str | None]:
    """The back end to use and the GPU it sees: ``KERAS_BACKEND`` if set, else the first with a GPU.

    Parameters
    ----------
    say : callable
        Told of each back end that is installed and does not start; the next one is tried.

    Raises
    ------
    ImportError
        None of those installed starts.
    ModuleNotFoundError
        None of TensorFlow, JAX and PyTorch is installed, or not Keras.
    ValueError
        ``KERAS_BACKEND`` names none of the three.
    """
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted and wanted not in BACKENDS:
        raise ValueError(
            f"KERAS_BACKEND must be one of {', '.join(BACKENDS)}, or unset; it is {wanted!r}"
        )
    for name, value in ALLOCATE_AS_NEEDED.items():
        os.environ.setdefault(name, value)
    installed = [b for b in ([wanted] if wanted else BACKENDS) if find_spec(b)]
    if not installed and wanted:
        raise ModuleNotFoundError(
            f"{wanted} is not installed, which KERAS_BACKEND names: install it, or unset the variable"
        )
    if not installed:
        raise ModuleNotFoundError(
            f"none of {', '.join(BACKENDS)} is installed: python -m pip install -e '.[tensorflow]'"
        )
    if not find_spec("keras"):
        raise ModuleNotFoundError("Keras is not installed: python -m pip install 'keras>=3'")
    usable = []
    for backend in installed:
        try:
            gpu = gpu_of(backend)
        except (ImportError, OSError, RuntimeError) as error:
            say(f"{backend} is installed, but does not start: {type(error).__name__}: {error}")
            continue
        if gpu is not None:
            return backend, gpu
        usable.append(backend)
    if not usable:
        raise ImportError(
            f"no installed back end starts ({', '.join(installed)}): install one of them anew"
        )
    return usable[0], None


def versions(backend: str) -> dict[str, str]:
    """Versions of Keras, NumPy and what of the back end is installed as a package."""
    names = [name for name in PACKAGES[backend] if _installed(name)]
    return {name: metadata.version(name) for name in ("keras", "numpy", *names)}


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
