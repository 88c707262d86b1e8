"""Where a result is written to memory rather than computed again by whoever reads it."""

from __future__ import annotations

import jax
from jax import lax
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Shaped


@jax.jit  # outside of a compiled function constraints take no NumPy arrays
def stored(array: Shaped[Array, ...]) -> Shaped[Array, ...]:
    """The same array, which on a CPU nothing before it and nothing after it is fused across.

    XLA fuses whole chains of sums, joins and comparisons into those who read them. A CPU then
    computes them several times over, with a branch for each entry of a join and without vector
    instructions: the gradient of a pooling behind a Winograd convolution took 7 ns an output, and
    takes less than 3. An accelerator gains from every fusion and is left alone.

    `lax.optimization_barrier` does not help, it is gone before the CPU compiler fuses; a constraint
    on the layout is not.
    """
    return lax.platform_dependent(array, cpu=_in_rows, default=lambda x: x)


def _in_rows(array):
    return with_layout_constraint(array, Layout(major_to_minor=tuple(range(array.ndim))))
