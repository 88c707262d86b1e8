"""The script of the README, as it is printed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ensemble_jax import load_run

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_it_runs_as_printed_and_is_short(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    script = text.partition("<!-- script -->\n```python\n")[2].partition("```")[0]
    module = "class Net" + script.partition("class Net")[2].partition("\n\n")[0]
    lines = [line for line in script.replace(module, "").splitlines() if line.strip()]
    assert len(lines) <= 15
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    assert "(20, 397, 10)" in answer.stdout
    run = load_run(tmp_path / "runs" / "mine")
    assert run.extents == (0, 1, 2, 5, 10)
    assert np.median(run.metrics["test_accuracy"][-1]) > 0.85
