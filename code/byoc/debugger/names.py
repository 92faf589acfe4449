"""What tensors and collections are called: the callback writes by these names, rules read by them.

| collection (smdebug's) | tensors | modes |
| --- | --- | --- |
| losses | ``loss``: the mean over the step's rows (over the batch's, in EVAL) | TRAIN, EVAL |
| gradients | ``gradient/PARAMETER``: unscaled, after accumulation, before clipping | TRAIN |
| weights, biases | ``PARAMETER``, before the optimizer's step | TRAIN |
| activations | ``MODULE_input_0``, ``MODULE_output_0`` of activation modules | TRAIN |
| predictions | ``labels``, ``predictions`` [rows]: classes; ``input_ids`` [rows, longest] | both |
| percentiles | scalars by ``percentile``, of gradients and activations | TRAIN |
| updates | scalars by ``update_ratio``: std of the step's change over std of the weights | TRAIN |

PARAMETER and MODULE are the names of the Hugging Face model's own ``named_parameters`` and
``named_modules``. Gradients, weights and activations come as reductions unless a collection's
configuration asks for whole tensors.

A TRAIN step is an optimizer step, the first one 0; an EVAL step is a batch of a validation, counted
on from epoch to epoch. Where a step has several micro-batches, activations and predictions are the
last one's. Where several processes train, everything is the first one's own but gradients, which
are of all. Rows without a label (-100 in ``labels``) only fill a batch.
"""

from __future__ import annotations

LOSS = "loss"
LABELS, PREDICTIONS, INPUT_IDS = "labels", "predictions", "input_ids"
ACTIVATIONS, PREDICTED, PERCENTILES, UPDATES = (
    "activations",
    "predictions",
    "percentiles",
    "updates",
)


PERCENTS = (5, 50, 95)
"""The percentiles that are written. Of a tensor with more than 2^18 values they are a sample's."""
ACTIVATION_PERCENTS = (5, 30, 50, 70, 95)
"""Of activations: values under the 30th and over the 70th are more than half of all."""


def gradient(parameter: str) -> str:
    """As smdebug's own hook calls it."""
    return f"gradient/{parameter}"


def percentile(tensor: str, percent: int) -> str:
    """The scalar with a percentile of a tensor's values; smdebug has no such reduction."""
    return f"percentile/{percent}/{tensor}"


def update_ratio(parameter: str) -> str:
    return f"update_ratio/{parameter}"
