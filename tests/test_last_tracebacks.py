"""What ended in a traceback once ends in one line, and leaves nothing half-written."""

import errno
import functools
import os
import pwd
import re
import subprocess
import sys

import jax
import pytest

import ensemble_jax as ej
from ensemble_jax import trainer
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.cli.translate import training_of
from ensemble_jax.data.folders import resolve_folders
from ensemble_jax.launch.by_rank import Trained, train_collection
from ensemble_jax.launch.rank import Detection
from ensemble_jax.options import Model
from ensemble_jax.planning.of_training import told_if_out_of_memory


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path):
    workdir = tmp_path / os.fsdecode(b"run-\xff")
    with pytest.raises(ValueError, match=r"^--workdir must be text in UTF-8, got '.*run-.udcff'$"):
        train_collection(None, workdir)  # pyright: ignore


def test_too_many_devices_leave_no_folder(tmp_path):
    with pytest.raises(ValueError, match="num_devices of the plan must be at most "):
        ej.train(
            "fully_connected",
            "digits",
            members=2,
            plan="num_devices=1000",
            workdir=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


def test_more_members_than_a_run_can_have_are_refused_at_once():
    with pytest.raises(ValueError, match="members must be at most 1000000, got 1000000000"):
        ej.members(10**9)


def test_a_network_that_no_machine_holds_is_refused(tmp_path):
    config = TrainConfig(
        dataset="digits", model=Model.FULLY_CONNECTED, num_members=2, width=2**31 - 1
    )
    message = r"^network must be smaller: the variables of one member take [\d,.]+ GB, and cpu has"
    with pytest.raises(ValueError, match=message):
        train_collection(training_of([config]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("rate", [1e-46, 1e39])
def test_rates_that_float32_has_not_are_refused(rate):
    with pytest.raises(ValueError, match="learning_rate must be numbers that float32 has, got 1e"):
        ej.members(2, learning_rate=rate)


@pytest.mark.parametrize("error", [RuntimeError("no cuda"), AssertionError()])
def test_a_platform_that_is_not_here_is_told(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(jax, "local_devices", fail)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(ValueError, match="JAX has no devices here with JAX_PLATFORMS='cuda'"):
        trainer._check_devices()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        jax.errors.JaxRuntimeError("INTERNAL: Out of memory allocating 8 bytes"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no room"),
    ],
)
def test_too_little_memory_of_the_host_is_told(error):
    class Asked:
        members_per_call, microbatches, evaluation_batch_size = 0, 1, 500

    with (
        pytest.raises(ValueError, match="is too small for plan="),
        told_if_out_of_memory(Asked(), Asked()),  # pyright: ignore
    ):
        raise error


def test_a_user_without_a_home_has_folders(monkeypatch):
    def no_home(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.expanduser", no_home)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert str(resolve_folders(None, None).data) == "~/tensorflow_datasets"


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (lambda: ej.load_dataset("npz:~/a.npz"), "~/a.npz"),
        (lambda: ej.load_dataset("folder:~/a"), "~/a"),
        (lambda: ej.load_dataset("tsv:~/a.tsv"), "~/a.tsv"),
        (lambda: ej.Dataset.from_folder("~/a"), "~/a"),
        (
            lambda: ej.Dataset.from_csv("~/a.csv", text=0, label=1, word_vectors="~/v.txt"),
            "~/a.csv",
        ),
    ],
)
def test_a_user_without_a_home_is_told_of_files_that_there_are_not(monkeypatch, load, message):
    """No password entry either: `~` is then a name as any other."""

    def none(uid):
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", none)
    with pytest.raises(ValueError, match=re.escape(message)):
        load()


def test_a_report_that_cannot_be_written_says_that_the_training_is_safe(monkeypatch):
    from ensemble_jax.cli import train
    from ensemble_jax.report import run_report

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Config:
        data_dir = ""

        def validate(self):
            pass

    flags = type(
        "Flags",
        (),
        {
            "distributed": Detection.OFF,
            "rank": None,
            "num_ranks": None,
            "workdir": "runs/x",
        },
    )
    monkeypatch.setattr(train, "FLAGS", flags)
    monkeypatch.setattr(train, "get_config", lambda kind: Config())
    monkeypatch.setattr(train, "training_of", lambda configs: None)
    monkeypatch.setattr(train, "train_collection", lambda *_: Trained(object(), True))
    monkeypatch.setattr(run_report, "analyze", fail)
    message = "^the report cannot be written, the training is safe, .* --run=runs/x.*No space"
    with pytest.raises(OSError, match=message):
        train.main()


def test_a_screen_that_there_is_not_is_no_matter():
    script = (
        "from ensemble_jax.cli import binary, entry\n"
        "binary.run = lambda module, arguments: __import__('matplotlib')\n"
        "entry.run_verb('analyze', [])\n"
    )
    subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"MPLBACKEND": "nonsense"}, check=True
    )


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_a_checkpoint_that_fails_says_one_thing_and_the_same_call_continues(
    tmp_path, monkeypatch, capfd, number
):
    """The disk fails under Orbax, which has its own threads and loggers."""

    def train(name):
        return ej.train(
            "fully_connected",
            "digits",
            members=2,
            batch_size=500,
            extents=(0, 1, 2),
            workdir=tmp_path / name,
        )

    whole = train("whole")
    failed = []

    def fail(call, *arguments, **options):
        if "checkpoints" in str(arguments[0]):
            failed.append(arguments)
            raise OSError(number, os.strerror(number), str(arguments[0]))
        return call(*arguments, **options)

    capfd.readouterr()
    with monkeypatch.context() as patch:
        for name in ("rename", "replace"):
            patch.setattr(os, name, functools.partial(fail, getattr(os, name)))
        message = (
            rf"^cannot write epoch \d to .*, the same command continues .*{os.strerror(number)}"
        )
        with pytest.raises(OSError, match=message):
            train("run")
    assert failed
    said = capfd.readouterr().err
    assert all(line.startswith("training: ") for line in said.splitlines() if line), said
    assert not list((tmp_path / "run").rglob("*.npz.*"))
    run = train("run")
    for split in ("train", "test"):
        assert (run.bits(split) == whole.bits(split)).all()
