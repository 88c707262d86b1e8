"""What tests share that train within this process."""

import pytest

from ensemble_jax import trainer


@pytest.fixture(scope="module")
def no_compilation_cache():
    """It would stay in use for all tests of this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "use_compilation_cache", lambda: None)
        yield
