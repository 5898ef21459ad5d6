"""Training as a capacity question: the CNN, its size, time and memory, and the profile of all this."""

from capkit.training.checkpoints import (
    checkpoint_bytes,
    daly_interval_s,
    expected_run_s,
    save_checkpoint,
    simulate_run_s,
    young_interval_s,
)
from capkit.training.counting import count_cnn
from capkit.training.hotspots import hot_spots
from capkit.training.memory import image_bytes, largest_batch, measure_memory, step_memory_mib
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
from capkit.training.pipeline import PIPELINES, encode_png, input_pipeline, pipeline_times
from capkit.training.profile import TrainingProfile
from capkit.training.steps import (
    epoch_times,
    fit_epoch_time,
    fit_step_time,
    predict_epoch_s,
    run_epoch,
    train_step,
)
from capkit.training.workers import Scaling, fit_all_reduce, gradient_bytes, measure_workers

__all__ = [
    "PIPELINES",
    "Scaling",
    "TrainingProfile",
    "build_cnn",
    "checkpoint_bytes",
    "count_cnn",
    "daly_interval_s",
    "encode_png",
    "epoch_times",
    "expected_run_s",
    "export",
    "fit_all_reduce",
    "fit_epoch_time",
    "fit_step_time",
    "gradient_bytes",
    "hot_spots",
    "image_bytes",
    "import_keras",
    "import_tensorflow",
    "input_pipeline",
    "largest_batch",
    "measure_memory",
    "measure_workers",
    "pipeline_times",
    "predict_epoch_s",
    "predict_float64",
    "quiet_stderr",
    "restart",
    "run_epoch",
    "save_checkpoint",
    "simulate_run_s",
    "step_memory_mib",
    "to_inputs",
    "train",
    "train_step",
    "young_interval_s",
]
