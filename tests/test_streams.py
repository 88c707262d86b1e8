"""Output never decides a training: a stream that fails is replaced by none."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ensemble_jax.streams import LenientStream, lenient_output

ROOT = Path(__file__).parent.parent

TRAINING = """
import numpy as np
import ensemble_jax as ej
from ensemble_jax.networks import Network, Variables
x = np.arange(40, dtype=np.float32).reshape(20, 2)
data = ej.Dataset.from_arrays(train=(x, np.arange(20) % 2), test=(x, np.arange(20) % 2))
network = Network(
    lambda key, inputs: Variables({"w": np.zeros((2, 2), np.float32)}, {}),
    lambda variables, inputs, *, key, train: (inputs @ variables.params["w"], {}),
)
run = ej.train(
    network, data, members=2, batch_size=5, extents=range(40), plan="default,num_devices=1",
    workdir=WORKDIR,
)
"""


def start(workdir, prefix=(), **streams) -> subprocess.Popen:
    script = TRAINING.replace("WORKDIR", repr(str(workdir)))
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": "1"},
        **streams,
    )


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["reader ends", "full disk", "closed"])
def test_a_training_goes_on_without_its_streams(tmp_path, fault):
    if fault == "reader ends":
        process = start(tmp_path / "run", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()  # as of `| head -1`
        process.stdout.close()
        process.stderr.close()
    elif fault == "full disk":
        with open("/dev/full", "w") as full:
            process = start(tmp_path / "run", stdout=full, stderr=full)
    else:
        without = ("bash", "-c", 'exec "$0" "$@" 0<&- 1>&- 2>&-')
        process = start(tmp_path / "run", prefix=without)
    assert process.wait(timeout=120) == 0
    assert len(list((tmp_path / "run" / "records").iterdir())) == 40


class Broken(io.StringIO):
    """A stream that fails once and says how."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error

    def flush(self):
        raise self.error


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(28, "full"), ValueError("I/O operation on closed file")]
)
def test_a_stream_that_fails_is_replaced_by_none(monkeypatch, error):
    monkeypatch.setattr(sys, "stdout", Broken(error))
    monkeypatch.setattr(sys, "stderr", None)
    with lenient_output():
        print("one", flush=True)
        print("two", file=sys.stderr, flush=True)
        print("three", flush=True)
    assert sys.stderr is None


def test_what_goes_well_is_written_as_it_is():
    stream = io.StringIO()
    lenient = LenientStream(stream)
    assert lenient.write("äöü\t\r\n日本\n") == 9
    assert stream.getvalue() == "äöü\t\r\n日本\n"
    assert lenient.isatty() is False


def test_control_characters_and_what_the_encoding_lacks_are_escaped():
    file = io.BytesIO()
    stream = io.TextIOWrapper(file, "ascii", newline="")
    lenient = LenientStream(stream)
    lenient.write("\x1b]0;title\x07 \x9b2J é \udcff \u202etxt")
    lenient.flush()
    assert file.getvalue() == rb"\x1b]0;title\x07 \x9b2J \xe9 \udcff \u202etxt"


def test_the_descriptor_of_a_broken_pipe_leads_nowhere():
    """Otherwise Python fails once more when the process ends."""
    script = (
        "import sys, time\n"
        "from ensemble_jax.streams import lenient_output\n"
        "sys.stdin.readline()\n"
        "with lenient_output():\n"
        "    print('x' * 10)\n"
        "print('y' * 10)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, said = process.communicate("go\n", timeout=60)
    assert (process.returncode, said) == (0, "")
