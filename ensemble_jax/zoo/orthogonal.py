"""Random orthogonal matrices, without LAPACK."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def random_orthogonal(key: PRNGKeyArray, size: int) -> Float[Array, "n n"]:
    """An orthogonal matrix, uniform over all of them (Haar's measure).

    A product of n random reflections, as many as the QR decomposition of a normal matrix has:
    G. Stewart, 'The efficient generation of random orthogonal matrices', 1980. Costs 4 n^3
    operations.

    JAX's own initialiser decomposes by LAPACK. CPU devices share one pool of threads, in which
    each call of LAPACK waits for another thread: where every device makes one, all wait for ever
    (jax 0.10.2).
    """

    def reflect(product, step):
        place, normal = step
        tail = jnp.where(jnp.arange(size) < place, 0, normal)
        sign = jnp.where(normal[place] < 0, -1.0, 1.0)
        # The reflection that takes the tail to -sign * |tail| at its first entry.
        axis = tail.at[place].add(sign * jnp.linalg.norm(tail))
        product -= jnp.outer(product @ axis, axis) * (2 / (axis @ axis))
        return product, -sign

    normals = jax.random.normal(key, (size, size))
    product, signs = jax.lax.scan(reflect, jnp.eye(size), (jnp.arange(size), normals))
    return product * signs[None]
