"""Training as a capacity question: the CNN, its size by counting, its step time, its profile."""

from capkit.training.counting import count_cnn
from capkit.training.model import (
    build_cnn,
    export,
    import_keras,
    import_tensorflow,
    predict_float64,
    quiet_stderr,
    restart,
    to_inputs,
    train,
)
from capkit.training.profile import TrainingProfile, fit_step_time, step_times, train_step

__all__ = [
    "TrainingProfile",
    "build_cnn",
    "count_cnn",
    "export",
    "fit_step_time",
    "import_keras",
    "import_tensorflow",
    "predict_float64",
    "quiet_stderr",
    "restart",
    "step_times",
    "to_inputs",
    "train",
    "train_step",
]
