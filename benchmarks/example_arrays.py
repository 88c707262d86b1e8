"""Made-up records of many members, for what scores examples."""

from __future__ import annotations

import numpy as np

_NOISE = 0.15
_SLOPE = 10
_SEED = 0


def make_arrays(
    num_extents: int, num_members: int, num_examples: int, num_classes: int
) -> dict[str, np.ndarray]:
    """The arrays of members that learn the same examples first, by names of `AXES`."""
    rng = np.random.default_rng(_SEED)
    labels = rng.integers(0, num_classes, num_examples)
    others = (labels + rng.integers(1, num_classes, num_examples)) % num_classes
    difficulty = rng.random(num_examples, np.float32)
    shape = (num_extents, num_members, num_examples)
    arrays = {
        "correct": np.empty(shape, np.bool_),
        "predictions": np.empty(shape, np.uint8),
        "label_probability": np.empty(shape, np.float16),
        "margin": np.empty(shape, np.float16),
        "probabilities": np.empty((*shape[1:], num_classes), np.float16),
        "train_mask": rng.random(shape[1:], np.float32) < 0.5,
        "labels": labels,
    }
    rows = np.arange(num_examples)
    for extent, learned in enumerate(np.linspace(0, 1, num_extents, dtype=np.float32)):
        for member in range(num_members):
            noise = rng.standard_normal(num_examples, np.float32) * np.float32(_NOISE)
            margin = _SLOPE * (learned - difficulty + noise)
            # One other class has half of the rest, the others share it.
            own = 1 / (1 + np.exp(-margin))
            place = extent, member
            arrays["margin"][place] = margin
            arrays["label_probability"][place] = own
            arrays["correct"][place] = margin > 0
            arrays["predictions"][place] = np.where(margin > 0, labels, others)
    for member in range(num_members):
        own = arrays["label_probability"][-1, member].astype(np.float32)
        rest = (1 - own) / max(2 * (num_classes - 2), 1)
        of_member = np.repeat(rest[:, np.newaxis], num_classes, axis=1)
        of_member[rows, labels] = own
        of_member[rows, others] = (1 - own) / (2 if num_classes > 2 else 1)
        arrays["probabilities"][member] = of_member
    return arrays
