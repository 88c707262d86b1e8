"""Operations are written without implicit promotion of types."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def strict_types():
    with jax.numpy_dtype_promotion("strict"):
        yield
