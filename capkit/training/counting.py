"""Size of the CNN by counting, layer by layer: no framework, nothing measured."""

from __future__ import annotations

from math import prod

import pandas as pd

from capkit.training.model import CLASSES, IMAGE_SHAPE

FLOAT32_BYTES = 4
KERNEL = 3
POOL = 2


def count_cnn(*, filters: int = 32, hidden_units: int = 64) -> pd.DataFrame:
    """Parameters, operations and bytes of `build_cnn`, one row a layer.

    A multiplication with its addition counts as two operations, a bias as one; comparisons (ReLU,
    pooling) and the exponentials of the softmax are left out, about 3 % of the course's network.
    Flattening is another view of the same bytes.

    Parameters
    ----------
    filters, hidden_units : int
        As in `build_cnn`, at least 1.

    Returns
    -------
    DataFrame
        Index ``layer``; ``output`` (shape of one image's output), ``parameters``,
        ``flops_per_image`` of one forward pass, ``weight_bytes`` and
        ``activation_bytes`` of one image in float32.

    Examples
    --------
    >>> count = count_cnn()
    >>> int(count["parameters"].sum())
    347146
    >>> int(count["flops_per_image"].sum())
    1104586
    """
    if filters < 1 or hidden_units < 1:
        raise ValueError(
            f"filters and hidden_units must be at least 1, got {filters} and {hidden_units}"
        )
    channels = IMAGE_SHAPE[2]
    side = IMAGE_SHAPE[0] - KERNEL + 1
    pooled = side // POOL
    features = pooled * pooled * filters
    rows = [
        ("conv", (side, side, filters), KERNEL * KERNEL * channels),
        ("pool", (pooled, pooled, filters), 0),
        ("flatten", (features,), 0),
        ("hidden", (hidden_units,), features),
        ("digit", (CLASSES,), hidden_units),
    ]
    table = []
    for layer, output, fan_in in rows:
        elements = prod(output)
        parameters = (fan_in + 1) * output[-1] if fan_in else 0
        table.append(
            {
                "layer": layer,
                "output": " x ".join(map(str, output)),
                "parameters": parameters,
                "flops_per_image": (2 * fan_in + 1) * elements if fan_in else 0,
                "weight_bytes": FLOAT32_BYTES * parameters,
                "activation_bytes": 0 if layer == "flatten" else FLOAT32_BYTES * elements,
            }
        )
    return pd.DataFrame(table).set_index("layer")
