"""Size of the CNN by counting, layer by layer: no framework, nothing measured."""

from __future__ import annotations

from math import prod

import pandas as pd

from capkit.training.model import CLASSES, FILTERS, HIDDEN_UNITS, IMAGE_SHAPE, KERNEL, POOL

FLOAT32_BYTES = 4


def count_cnn() -> pd.DataFrame:
    """Parameters, operations and bytes of `build_cnn`, one row a layer.

    A multiplication with its addition counts as two operations, a bias as one; comparisons (ReLU,
    pooling) and the exponentials of the softmax are left out, about 3 %. Flattening is another view
    of the same bytes.

    Returns
    -------
    DataFrame
        Index ``layer``; ``output`` (shape of one image's output), ``parameters``,
        ``flops_per_image`` of one forward pass, ``weight_bytes`` and ``activation_bytes`` of one
        image in float32.

    Examples
    --------
    >>> count = count_cnn()
    >>> int(count["parameters"].sum()), int(count["flops_per_image"].sum())
    (347146, 1104586)
    """
    side = IMAGE_SHAPE[0] - KERNEL + 1
    pooled = side // POOL
    features = pooled * pooled * FILTERS
    layers = [
        ("conv", (side, side, FILTERS), KERNEL * KERNEL * IMAGE_SHAPE[2]),
        ("pool", (pooled, pooled, FILTERS), 0),
        ("flatten", (features,), 0),
        ("hidden", (HIDDEN_UNITS,), features),
        ("digit", (CLASSES,), HIDDEN_UNITS),
    ]
    rows = []
    for layer, output, fan_in in layers:
        parameters = (fan_in + 1) * output[-1] if fan_in else 0
        rows.append(
            {
                "layer": layer,
                "output": " x ".join(map(str, output)),
                "parameters": parameters,
                "flops_per_image": (2 * fan_in + 1) * prod(output) if fan_in else 0,
                "weight_bytes": FLOAT32_BYTES * parameters,
                "activation_bytes": 0 if layer == "flatten" else FLOAT32_BYTES * prod(output),
            }
        )
    return pd.DataFrame(rows).set_index("layer")
