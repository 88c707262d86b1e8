"""What every test shares: strictness, fake devices and the real data."""

import os
from pathlib import Path

# Eight CPU devices and reproducible sums; before anything imports JAX.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, or a skip that says how to provide it."""
    folder = Path(os.environ.get("ENSEMBLE_JAX_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(
            f"no real data at {folder}; set ENSEMBLE_JAX_TEST_DATA to the folder that has it"
        )
    return folder
