"""The course itself: products, parameters, the environment check, the notebooks and the command line."""

from capkit.course.display import answer, knob
from capkit.course.exercises import own_predictions, predict, reveal
from capkit.course.outline import outline
from capkit.course.parameters import REGISTRY, Parameter, response_budget_s, used_parameters
from capkit.course.products import (
    CHAPTERS,
    Product,
    StaleProductError,
    existing_run,
    load,
    product_of,
    reference,
    resolve_run_dir,
    save,
)

__all__ = [
    "CHAPTERS",
    "REGISTRY",
    "Parameter",
    "Product",
    "StaleProductError",
    "answer",
    "existing_run",
    "knob",
    "load",
    "outline",
    "own_predictions",
    "predict",
    "product_of",
    "reference",
    "resolve_run_dir",
    "response_budget_s",
    "reveal",
    "save",
    "used_parameters",
]
