"""How sure each member is of each label while it trains.

All take the history of one network `[E, M]` or of many `[E, N, M]` and say it of each member;
`member_mean` averages. Histories may be float16, as they are recorded: one extent after another is
computed in float32, and nothing larger than the result is held. The third quantity of Dataset
Cartography, correctness, is `member_accessibility`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Num, Shaped

from ensemble_jax.analysis.inputs import as_history


def confidence(label_probability: Shaped[Any, "E *N M"]) -> Float[np.ndarray, "*N M"]:
    """How sure a member is of an example's label over its training.

    `mu_n(m) = mean_e p[e, n, m]`, in [0, 1], float32.

    Args:
        label_probability: `[E, ..., M]`, the probability of the label, in [0, 1].

    Raises:
        ValueError: no extent, not `[E, ..., M]`, or outside [0, 1].

    Source: Swayamdipta et al., 'Dataset Cartography' (2020), section 2.

    >>> confidence([[0.5, 0.0], [1.0, 0.5]])
    array([0.75, 0.25], dtype=float32)
    """
    return _mean(as_history("label_probability", label_probability, 0, 1))


def variability(label_probability: Shaped[Any, "E *N M"]) -> Float[np.ndarray, "*N M"]:
    """How much a member changes its mind about an example's label.

    `sigma_n(m) = std_e p[e, n, m]`, in [0, 1/2], float32, over all extents (not one less).

    Args:
        label_probability: `[E, ..., M]`, the probability of the label, in [0, 1].

    Raises:
        ValueError: no extent, not `[E, ..., M]`, or outside [0, 1].

    Source: Swayamdipta et al., 'Dataset Cartography' (2020), section 2.

    >>> variability([[0.5, 0.0], [1.0, 0.0]])
    array([0.25, 0.  ], dtype=float32)
    """
    history = as_history("label_probability", label_probability, 0, 1)
    mean = _mean(history)
    squares = np.zeros_like(mean)
    for at_extent in history:
        squares += (at_extent - mean) ** 2
    return np.sqrt(squares / len(history))


def area_under_margin(margin: Shaped[Any, "E *N M"]) -> Float[np.ndarray, "*N M"]:
    """By how much a member prefers an example's label to all other classes over its training.

    `AUM_n(m) = mean_e margin[e, n, m]`, in logits, float32; below 0 where another class is mostly
    preferred, as for wrong labels.

    Args:
        margin: `[E, ..., M]`, the logit of the label less the largest other one (`label_margin`).

    Raises:
        ValueError: no extent, not `[E, ..., M]`, or NaN.

    Source: Pleiss et al., 'Identifying mislabeled data using the area under the margin ranking'
    (2020), equation 2.

    >>> area_under_margin([[1.0, -2.0], [3.0, 0.0]])
    array([ 2., -1.], dtype=float32)
    """
    return _mean(as_history("margin", margin))


def _mean(history: Num[np.ndarray, "E *N M"]) -> Float[np.ndarray, "*N M"]:
    """The mean over extents in float32, whatever the type."""
    total = np.zeros(history.shape[1:], np.float32)
    for at_extent in history:
        total += at_extent
    return total / np.float32(len(history))
