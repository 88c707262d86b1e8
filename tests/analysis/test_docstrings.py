import subprocess
import sys

import pytest

from ensemble_jax import analysis


@pytest.mark.parametrize("name", analysis.__all__)
def test_every_public_function_has_an_example(name):
    assert ">>>" in getattr(analysis, name).__doc__


def test_needs_neither_jax_nor_matplotlib():
    program = "import sys, ensemble_jax.analysis; print({'jax', 'matplotlib'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"
