"""The mean and standard deviation by which inputs are normalised."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64

from ensemble_jax.data.draws import random_order, seed_of
from ensemble_jax.data.stored import Inputs, StoredInputs, read_inputs

# Examples are converted to float64 in pieces of about this many values (8 MiB).
_VALUES_PER_CHUNK = 1 << 20
# The mean over so many photographs is known to 1 of 255; reading them takes seconds.
_MOST_READ = 4096


def channel_statistics(
    inputs: Inputs, max_threads: int = 1
) -> tuple[Float32[np.ndarray, " channels"], Float32[np.ndarray, " channels"]]:
    """The mean and standard deviation of each channel or feature, as float32.

    | inputs | one mean and std for | shape |
    |---|---|---|
    | images `[M, height, width, channels]` | each channel, over all examples and positions | `[channels]` |
    | vectors of floats `[M, F]` | each feature, as features may have different units | `[F]` |
    | all others, vectors of uint8 among them | all values | `[1]` |

    With n values x of a channel:

        mean = sum(x) / n
        std = sqrt(sum((x - mean)^2) / n),  1 where that is 0

    so that `(x - mean) / std` is finite and a constant channel becomes 0. Sums are in float64, in
    two passes over pieces of the inputs.

    Of inputs that are not in memory, the values are those of 4,096 examples at most, which are
    always the same.

    Raises:
        ValueError: if there is no value, or no axis besides that of the examples.

    >>> mean, std = channel_statistics(np.array([[1.0, 30.0], [3.0, 30.0]]))
    >>> mean.tolist(), std.tolist()
    ([2.0, 30.0], [1.0, 1.0])
    """  # noqa: E501
    if inputs.ndim < 2 or 0 in inputs.shape:
        raise ValueError(f"inputs must be a non-empty [M, ...], got the shape {inputs.shape}")
    if isinstance(inputs, StoredInputs):
        chosen = random_order(seed_of("channel statistics", 0), len(inputs))[:_MOST_READ]
        inputs = read_inputs(inputs, np.sort(chosen), max_threads=max_threads)
    own_units = inputs.ndim == 4 or (inputs.ndim == 2 and inputs.dtype.kind == "f")
    channels = inputs.shape[-1] if own_units else 1
    examples = inputs.reshape(len(inputs), -1)
    repeats = examples.shape[1] // channels
    # Distances from a value of the channel are exactly 0 if it is constant, whatever the rounding.
    origin = np.tile(examples[0, :channels].astype(np.float64), repeats)
    mean_distance = _mean_power(examples, origin, channels, power=1)
    centre = origin + np.tile(mean_distance, repeats)
    mean = centre[:channels].astype(np.float32)
    std = np.sqrt(_mean_power(examples, centre, channels, power=2)).astype(np.float32)
    return mean, np.where(std == 0, np.float32(1), std)


def _mean_power(
    examples: np.ndarray, centre: np.ndarray, channels: int, power: int
) -> Float64[np.ndarray, " channels"]:
    """The mean of (x - centre)^power per channel, for x `[M, positions * channels]`."""
    total = np.zeros(examples.shape[1])
    step = max(1, _VALUES_PER_CHUNK // examples.shape[1])
    for start in range(0, len(examples), step):
        distance = examples[start : start + step] - centre
        # Over the examples first: the inner loop then runs along contiguous memory.
        total += (distance if power == 1 else np.square(distance, out=distance)).sum(axis=0)
    return total.reshape(-1, channels).sum(axis=0) / (examples.size // channels)
