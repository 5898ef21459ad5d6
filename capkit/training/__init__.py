"""Training as a capacity question: the CNN, its size, its step time, its profile, its variants."""

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
from capkit.training.variants import (
    accuracy_difference,
    export_variants,
    measure_variants,
    quantize,
)

__all__ = [
    "TrainingProfile",
    "accuracy_difference",
    "build_cnn",
    "count_cnn",
    "export",
    "export_variants",
    "fit_step_time",
    "import_keras",
    "import_tensorflow",
    "measure_variants",
    "predict_float64",
    "quantize",
    "quiet_stderr",
    "restart",
    "step_times",
    "to_inputs",
    "train",
    "train_step",
]
