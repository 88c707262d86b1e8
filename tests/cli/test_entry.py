"""The verbs of `ensemble-jax`, and how it is recorded."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from ensemble_jax.cli import entry
from ensemble_jax.runs import command_line
from ensemble_jax.version import __version__


@pytest.fixture
def started(monkeypatch):
    """A function that calls the console script with arguments."""

    def start(*arguments):
        monkeypatch.setattr(sys, "argv", ["/usr/local/bin/ensemble-jax", *arguments])
        entry.main()

    return start


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_has_a_line_for_each_verb(started, capsys, option):
    started(option)
    lines = capsys.readouterr().out.splitlines()
    for verb, summary in entry.VERBS.items():
        assert [line.split(maxsplit=1) for line in lines].count([verb, summary]) == 1
        assert (Path(entry.__file__).parent / f"{verb}.py").is_file()


def test_version(started, capsys):
    started("--version")
    assert capsys.readouterr().out == f"ensemble-jax {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown verb 'trian' (is train meant?); the verbs are train, sweep, "),
        (["--workdir=x"], "unknown verb '--workdir=x'; the verbs are train, sweep, "),
        ([], "no verb; the verbs are train, sweep, analyze, "),
    ],
)
def test_an_unknown_verb_is_told_in_one_line(started, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        started(*arguments)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {message}")
    assert told.count("\n") == 1


def test_the_package_is_the_console_script():
    command = [sys.executable, "-m", "ensemble_jax", "analyze", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Scores, figures and report of an existing run.")


def test_every_verb_has_help():
    """The options with their values, in exit code 0."""
    commands = {
        verb: [sys.executable, "-m", "ensemble_jax", verb, "--help"] for verb in entry.VERBS
    }
    started = {
        verb: subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for verb, command in commands.items()
    }
    shown = {verb: process.communicate() for verb, process in started.items()}
    for verb, (text, errors) in shown.items():
        assert (started[verb].returncode, errors) == (0, ""), verb
        assert "\n  --" in text
    assert "--learners=100: " in shown["classifiers"][0]
    assert "--config.batch_size=100: " in shown["train"][0]
    assert "--scale=quick: " in shown["reproduce"][0]


@pytest.mark.parametrize(
    ("module", "program", "command"),
    [
        (None, "/usr/local/bin/ensemble-jax", "ensemble-jax train --seed=1"),
        (None, "/home/me/own.py", "python own.py train --seed=1"),
        ("ensemble_jax.__main__", "/x/ensemble_jax/__main__.py", "python -m ensemble_jax train"),
        ("experiments.train", "/x/experiments/train.py", "python -m experiments.train train"),
    ],
)
def test_the_command_is_recorded_as_it_was_given(monkeypatch, module, program, command):
    main = ModuleType("__main__")
    main.__spec__ = module and SimpleNamespace(name=module)
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "argv", [program, "train", "--seed=1"])
    assert command_line().removesuffix(" --seed=1") == command.removesuffix(" --seed=1")
