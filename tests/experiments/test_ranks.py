"""Several processes that train one run, on this machine in place of several hosts."""

import os
import signal
import socket
from types import SimpleNamespace

import numpy as np
import pytest

from ensemble_jax import load_run
from ensemble_jax.processes.group import (
    Detection,
    GroupRequest,
    _address_to_bind,
    _detected_address,
    _parse_decision,
)
from ensemble_jax.processes.parts import _parse


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def start_group(binaries, size, *arguments, of_each=lambda position: ()):
    """Processes that know each other by hand."""
    coordinator = f"localhost:{free_port()}"
    return [
        binaries.start(
            "train",
            *arguments,
            f"--coordinator={coordinator}",
            f"--num_processes={size}",
            f"--process_id={position}",
            *of_each(position),
        )
        for position in range(size)
    ]


def start_slurm_step(binaries, size, *arguments):
    """Processes that find each other as those of a Slurm step do."""
    step = {"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": str(size)}
    step["JAX_COORDINATOR_PORT"] = str(free_port())
    return [
        binaries.start(
            "train",
            *arguments,
            "--distributed=auto",
            env=step | {"SLURM_PROCID": str(position), "SLURM_LOCALID": str(position)},
        )
        for position in range(size)
    ]


def has_begun(records):
    """Whether a part has a first extent with training."""
    return (records / "extent-000001.npz").exists()


def assert_same_run(directory, undisturbed):
    """The joined run has the bits of the one that a single process trained."""
    run, whole = load_run(directory), load_run(undisturbed)
    assert run.finished
    assert run.extents == whole.extents
    np.testing.assert_array_equal(run.members, whole.members)
    assert run.config == whole.config
    for split in whole.splits:
        for read in ("bits", "predictions"):
            np.testing.assert_array_equal(getattr(run, read)(split), getattr(whole, read)(split))
        recorded = (each.recorded("label_probability", split) for each in (run, whole))
        np.testing.assert_array_equal(*recorded)
    for name, values in whole.metrics.items():
        assert run.metrics[name].tobytes() == values.tobytes(), name
    for name in ("scores.csv", "dynamics.csv", "figures/consistency.svg"):
        assert (directory / name).read_bytes() == (undisturbed / name).read_bytes()


def test_three_processes_train_the_run_of_one(binaries, toy_job, undisturbed, tmp_path):
    """Four members, which three do not divide; then all of them find it finished."""
    directory = tmp_path / "run"
    command = (*toy_job, f"--workdir={directory}")
    first, *others = [process.wait() for process in start_group(binaries, 3, *command)]
    for answer in (first, *others):
        assert answer.returncode == 0, answer.stderr
    assert_same_run(directory, undisturbed)
    assert [part.manifest.members for part in load_run(directory).parts] == [[0, 1], [2], [3]]
    assert (
        load_run(directory / "parts" / "3-4").manifest.plan == load_run(undisturbed).manifest.plan
    )
    # The first one says what is to be said.
    assert "process 0 of 3: members 0:2\n" in first.stdout
    assert f"wrote {directory / 'scores.csv'}\n" in first.stdout
    for position, (answer, members) in enumerate(zip(others, ("2:3", "3:4"), strict=True), 1):
        assert answer.stdout == f"process {position} of 3: members {members}\n"
        assert "training" not in answer.stderr

    first, second = [process.wait() for process in start_slurm_step(binaries, 2, *command)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout.startswith(f"{directory} is finished: 4 members of ")
    assert (second.stdout, second.stderr) == ("", "")


def test_a_group_that_loses_a_process_is_continued_by_others(binaries, toy_job, contents, tmp_path):
    directory, whole = tmp_path / "run", tmp_path / "whole"
    # So many extents that a process is still at work when it is stopped.
    job = (*toy_job[:-1], f"--config.extents={','.join(map(str, range(40)))}")
    assert binaries.run("train", *job, f"--workdir={whole}").returncode == 0
    command = (*job, f"--workdir={directory}")
    own, part = directory / "records", directory / "parts" / "2-4" / "records"

    # What Slurm sends to all.
    first, second = start_group(binaries, 2, *command)
    for process, records in ((second, part), (first, own)):
        process.send(signal.SIGTERM, lambda records=records: has_begun(records))
    for answer in (first.wait(), second.wait()):
        assert answer.returncode == 143, answer.stderr
        assert "interrupted by SIGTERM" in answer.stderr.splitlines()[-1]
    reached = len(list(part.iterdir()))
    assert 1 < reached < 40

    # One is killed, the other goes on to its end.
    first, second = start_group(binaries, 2, *command)
    killed = second.stop(signal.SIGKILL, lambda: len(list(part.iterdir())) > reached)
    assert killed.returncode == -signal.SIGKILL
    before = {name: of for name, of in contents(part).items() if name.endswith(".npz")}
    answer = first.wait()
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1] == (
        f"error: {directory} is not finished: the processes that trained parts/2-4 have ended; "
        f"the same command continues"
    )
    assert load_run(directory, own_part=True).finished
    assert len(load_run(directory).extents) == len(before) < 40

    # Any number of processes goes on, here one that knows of no others.
    finished = contents(own)
    answer = binaries.run("train", *command)
    assert answer.returncode == 0, answer.stderr
    assert f"continuing {directory / 'parts' / '2-4'} after epoch" in answer.stdout
    assert_same_run(directory, whole)
    assert contents(own) == finished
    now = contents(part)
    assert {name: now[name] for name in before} == before


def test_processes_that_do_not_fit_end_in_one_line_each(binaries, toy_job, tmp_path):
    """Another config; other folders, as where none is shared; a folder of something else."""
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "thesis.tex").touch()
    groups = {
        name: start_group(
            binaries, 2, *toy_job, "--patience=30", f"--workdir={tmp_path / name}", of_each=own
        )
        for name, own in {
            "run": lambda position: (f"--config.seed={position}",),
            "unshared": lambda position: (f"--workdir={tmp_path / f'of_{position}'}",),
            "occupied": lambda position: (),
        }.items()
    }
    answers = {name: [process.wait() for process in group] for name, group in groups.items()}
    for name, errors in {
        "run": (
            "process 1 cannot begin: all processes need the same config, got seed: 0 -> 1",
            "all processes need the same config, got seed: 0 -> 1",
        ),
        "unshared": (
            "process 1 cannot begin: --workdir must be a folder that all processes share",
            f"all processes share: {tmp_path / 'of_1'} of process 1 is not the one that process ",
        ),
        "occupied": ("is not empty", "process 0 cannot begin: "),
    }.items():
        for answer, error in zip(answers[name], errors, strict=True):
            assert (answer.returncode, answer.stdout) == (2, "")
            assert error in answer.error
    assert not (tmp_path / "of_1").exists()
    assert not list(tmp_path.rglob("run.json"))


def test_others_that_do_not_come(binaries, toy_job, tmp_path):
    """Nobody else is started; the port is in use; there is no cluster."""
    with socket.create_server(("", 0)) as server:
        taken = server.getsockname()[1]
        waiting = binaries.start(
            "train",
            *toy_job,
            f"--coordinator=localhost:{free_port()}",
            "--num_processes=2",
            "--process_id=0",
            "--patience=1",
            f"--workdir={tmp_path / 'run'}",
        )
        refused = binaries.start(
            "train",
            *toy_job,
            f"--coordinator=localhost:{taken}",
            "--num_processes=2",
            "--process_id=0",
            f"--workdir={tmp_path / 'run'}",
        )
        alone = binaries.start(
            "train",
            *toy_job,
            "--distributed=auto",
            f"--workdir={tmp_path / 'run'}",
            env={name: "" for name in os.environ if name.startswith("KUBERNETES_")},
        )
        for process, error in (
            (waiting, "--patience=1 seconds were not enough to meet the other processes at "),
            (
                refused,
                f"port that process 0 can use, got localhost:{taken}: Address already in",
            ),
            (alone, "--distributed=auto finds no TPU VM, Slurm step, Open MPI or Kubernetes job"),
        ):
            answer = process.wait()
            assert (answer.returncode, answer.stdout) == (2, "")
            assert error in answer.error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("processes", "error"),
    [
        ((("0", 3), ("1", 3), ("1", 3)), "two processes have --process_id=1: each needs its own"),
        (
            (("0", 2), ("1", 3)),
            "--num_processes must be the same for all, but process 0 has 2 and process 1 has 3",
        ),
    ],
    ids=["the_same_twice", "other_counts"],
)
def test_processes_that_contradict_each_other_end_in_one_line_each(
    binaries, toy_job, tmp_path, processes, error
):
    coordinator = f"127.0.0.1:{free_port()}"
    group = [
        binaries.start(
            "train",
            *toy_job,
            f"--coordinator={coordinator}",
            f"--process_id={position}",
            f"--num_processes={size}",
            f"--workdir={tmp_path / 'run'}",
        )
        for position, size in processes
    ]
    for process in group:
        answer = process.wait()
        assert (answer.returncode, answer.stdout) == (2, "")
        assert answer.stderr == f"error: cannot meet the other processes: {error}\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--coordinator=a:1",), "must be given together"),
        (("--num_processes=2", "--process_id=0"), "must be given together"),
        (("--coordinator=a:1", "--num_processes=2", "--process_id=2"), "must lie in 0..1, got 2"),
        (("--coordinator=a", "--num_processes=2", "--process_id=0"), "HOST:PORT with a port in"),
    ],
)
def test_options_that_cannot_be_are_answered_at_once(binaries, tmp_path, options, error):
    answer = binaries.run("train", *options, f"--workdir={tmp_path / 'run'}", jax=False)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert error in answer.error
    assert "jax" not in answer.modules
    assert not (tmp_path / "run").exists()


def by_hand(coordinator="host:8000", num_processes=2, process_id=1, **others):
    return GroupRequest(
        coordinator=coordinator, num_processes=num_processes, process_id=process_id, **others
    )


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (by_hand(coordinator="host:0"), "a port in 1..65535, got 'host:0'"),
        (by_hand(coordinator="host:65536"), "got 'host:65536'"),
        (by_hand(coordinator=":8000"), "HOST:PORT"),
        (by_hand(coordinator="host:http"), "HOST:PORT"),
        (by_hand(num_processes=0), "--num_processes must be at least 1, got 0"),
        (by_hand(process_id=-1), r"--process_id must lie in 0\.\.1, got -1"),
        (by_hand(process_id=None), "must be given together"),
        (by_hand(detection=Detection.AUTO), "--distributed=auto finds the processes itself"),
        (GroupRequest(patience_seconds=0), "--patience must be positive, got 0"),
        (GroupRequest(patience_seconds=float("nan")), "--patience must be positive, got nan"),
    ],
)
def test_requests_that_cannot_be(request_, message):
    with pytest.raises(ValueError, match=message):
        request_.validate()


@pytest.mark.parametrize(
    ("request_", "alone"),
    [
        (GroupRequest(), True),
        (by_hand(), False),
        (by_hand(coordinator="[::1]:8000"), False),
        (GroupRequest(detection=Detection.AUTO), False),
        (GroupRequest(detection=Detection.MPI4PY), False),
    ],
)
def test_requests_that_can_be(request_, alone):
    request_.validate()
    assert request_.alone is alone


@pytest.mark.parametrize(
    ("host", "bound"),
    [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("[::1]", "[::1]")],
)
def test_the_first_process_listens_at_the_named_host_alone(host, bound, monkeypatch):
    port = free_port()
    if host == "localhost":
        own = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [own])
    assert _address_to_bind(f"{host}:{port}") == f"{bound}:{port}"


def test_a_name_that_means_this_host_to_itself_alone_is_listened_for_everywhere(monkeypatch):
    port = free_port()
    own = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.1.1", port))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [own])
    assert _address_to_bind(f"node1:{port}") == f"0.0.0.0:{port}"


def test_a_first_process_that_is_detected_listens_where_the_others_are_told(monkeypatch):
    monkeypatch.delenv("JAX_COORDINATOR_BIND_ADDRESS", raising=False)
    monkeypatch.delenv("JAX_COORDINATOR_ADDRESS", raising=False)
    port = free_port()
    step = {"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_NTASKS": "2"}
    step |= {"SLURM_LOCALID": "0", "JAX_COORDINATOR_PORT": str(port)}
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    request = GroupRequest(detection=Detection.AUTO)
    for position, bound in (("0", f"127.0.0.1:{port}"), ("1", None)):
        monkeypatch.setenv("SLURM_PROCID", position)
        assert _detected_address(request, None) == bound
    # What is not an address of this host is left to JAX.
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_STEP_NODELIST", "192.0.2.1")
    assert _detected_address(request, None) is None


def test_a_host_that_is_not_this_one_is_refused():
    with pytest.raises(
        ValueError, match="--coordinator must be a host and port that process 0 can"
    ):
        _address_to_bind("192.0.2.1:1234")


@pytest.mark.parametrize("text", ["", "[", "[1, 2]", "[null, 3]", "[{}]", "{}", "3", "[" * 5000])
def test_what_is_no_decision_is_told(text):
    with pytest.raises(ValueError, match=r"^process 0 has sent no decision: "):
        _parse_decision(text)


@pytest.mark.parametrize(
    "piece",
    [
        ["../../elsewhere", 3, True],
        [0, "3/../../x", True],
        [3, 0, True],
        [-1, 3, True],
        [0, 10**12, True],
        [0, 3, 1],
        [0, 3],
        3,
    ],
)
def test_what_the_first_process_decides_leads_nowhere_else(piece):
    training = SimpleNamespace(members=SimpleNamespace(ids=range(10)))
    good = [0, 3, False]
    for layout in ([[good], [piece], []], [[piece], [piece], []], [[good], [], [piece]], piece):
        with pytest.raises(ValueError, match=r"^process 0 must decide on parts of the run: "):
            _parse(layout, training)
    assert _parse([[good], [good], []], training).pieces[0].members == range(3)
