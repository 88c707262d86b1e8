import inspect
import subprocess
import sys

import pytest

from ensemble_jax import analysis

PUBLIC = {name: getattr(analysis, name) for name in analysis.__all__}
FUNCTIONS = [name for name, value in PUBLIC.items() if inspect.isfunction(value)]
RESULTS = [name for name, value in PUBLIC.items() if hasattr(value, "_fields")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_has_an_example(name):
    assert ">>>" in PUBLIC[name].__doc__


@pytest.mark.parametrize("name", RESULTS)
def test_every_part_of_a_result_is_explained(name):
    for field in PUBLIC[name]._fields:
        assert f"\n    {field}: " in inspect.cleandoc(PUBLIC[name].__doc__)


def test_needs_neither_jax_nor_matplotlib():
    program = "import sys, ensemble_jax.analysis; print({'jax', 'matplotlib'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"
