"""Training as a capacity question: the CNN, its size by counting, its step time, its profile."""

from capkit.training.model import (
    build_cnn,
    export,
    import_keras,
    import_tensorflow,
    predict_float64,
    quiet_stderr,
    to_inputs,
    train,
)

__all__ = [
    "build_cnn",
    "export",
    "import_keras",
    "import_tensorflow",
    "predict_float64",
    "quiet_stderr",
    "to_inputs",
    "train",
]
