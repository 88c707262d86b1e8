"""Several processes by rank that train one run, on this machine in place of several hosts."""

import contextlib
import dataclasses
import signal
import threading

import numpy as np
import pytest

from ensemble_jax import load_run
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.cli.translate import training_of
from ensemble_jax.launch import Rank, by_rank
from ensemble_jax.launch.by_rank import train_collection
from ensemble_jax.launch.pieces import Piece
from ensemble_jax.options import Model
from ensemble_jax.runs import lock_run
from ensemble_jax.runs.lock import locked_in_turn

pytestmark = pytest.mark.usefixtures("no_compilation_cache")


def start_ranks(binaries, size, *arguments):
    return [
        binaries.start("train", *arguments, f"--rank={rank}", f"--num_ranks={size}")
        for rank in range(size)
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
    """Four members, which three do not divide; all come at once, as those of a Slurm step."""
    directory = tmp_path / "run"
    command = (*toy_job, f"--workdir={directory}")
    processes = [
        binaries.start(
            "train",
            *command,
            "--distributed=auto",
            env={"SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": "3"},
        )
        for rank in range(3)
    ]
    answers = [process.wait() for process in processes]
    for answer in answers:
        assert answer.returncode == 0, answer.stderr
    assert_same_run(directory, undisturbed)
    assert [part.manifest.members for part in load_run(directory).parts] == [[0, 1], [2], [3]]
    for part in load_run(directory).parts:
        assert part.manifest.plan == load_run(undisturbed).manifest.plan
    for rank, (answer, members) in enumerate(zip(answers, ("0:2", "2:3", "3:4"), strict=True)):
        assert f"rank {rank} of 3: members {members}\n" in answer.stdout
    # Whoever was last writes the report, and no other.
    assert sum(f"wrote {directory / 'scores.csv'}\n" in of.stdout for of in answers) == 1
    assert not list(directory.rglob(".lock"))


def test_a_rank_that_is_killed_is_started_again(binaries, toy_job, contents, tmp_path):
    directory, whole = tmp_path / "run", tmp_path / "whole"
    # So many extents that a process is still at work when it is stopped.
    job = (*toy_job[:-1], f"--config.extents={','.join(map(str, range(40)))}")
    assert binaries.run("train", *job, f"--workdir={whole}").returncode == 0
    command = (*job, f"--workdir={directory}")
    own, part = directory / "records", directory / "parts" / "2-4" / "records"

    # What Slurm sends to all.
    first, second = start_ranks(binaries, 2, *command)
    for process, records in ((second, part), (first, own)):
        process.send(signal.SIGTERM, lambda records=records: has_begun(records))
    for answer in (first.wait(), second.wait()):
        assert answer.returncode == 143, answer.stderr
        assert "interrupted by SIGTERM" in answer.stderr.splitlines()[-1]
    reached = len(list(part.iterdir()))
    assert 1 < reached < 40

    # One is killed, the other goes on to its end and waits for nobody.
    first, second = start_ranks(binaries, 2, *command)
    killed = second.stop(signal.SIGKILL, lambda: len(list(part.iterdir())) > reached)
    assert killed.returncode == -signal.SIGKILL
    before = {name: of for name, of in contents(part).items() if name.endswith(".npz")}
    answer = first.wait()
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == (
        f"rank 0 of 2 has finished members 0:2; not finished in {directory}: members 2:4 (rank 1)"
    )
    assert load_run(directory, own_part=True).finished
    assert len(load_run(directory).extents) == len(before) < 40

    finished = contents(own)
    answer = binaries.run("train", *command, "--process_id=1", "--num_processes=2")
    assert answer.returncode == 0, answer.stderr
    assert f"continuing {directory / 'parts' / '2-4'} after epoch" in answer.stdout
    assert f"wrote {directory / 'scores.csv'}\n" in answer.stdout
    assert_same_run(directory, whole)
    assert contents(own) == finished
    now = contents(part)
    assert {name: now[name] for name in before} == before


@pytest.fixture(scope="module")
def config(toy_set):
    return TrainConfig(
        dataset=f"npz:{toy_set}",
        model=Model.FULLY_CONNECTED,
        width=4,
        depth=1,
        num_members=4,
        plan="default,num_devices=1",
        batch_size=25,
        extents=(0, 1),
    )


def train(config, workdir, rank=(0, 1), **changes):
    """Train the config with some fields changed as one rank, within this process."""
    training = training_of([dataclasses.replace(config, **changes)])
    return train_collection(training, workdir, Rank(*rank))


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    return train(config, tmp_path_factory.mktemp("ranks") / "whole", num_members=6).run


def assert_same(run, whole):
    for split in whole.splits:
        rows = np.isin(whole.members, run.members)
        np.testing.assert_array_equal(
            run.predictions(split), whole.predictions(split, run.extents)[:, rows]
        )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_ranks_may_come_one_after_another(config, whole, tmp_path, order):
    """As those of a job array: the last one completes the run; who is late finds it finished."""
    shares = [[0, 1], [2], [3]]
    for rank in order:
        run, is_last = train(config, tmp_path, (rank, 3))
        assert is_last == (rank == order[-1])
        assert run.members.tolist() == ([0, 1, 2, 3] if is_last else shares[rank])
        assert_same(run, whole)
    for rank in range(3):
        run, is_last = train(config, tmp_path, (rank, 3))
        assert run.members.tolist() == [0, 1, 2, 3]
        assert is_last == (rank == 0)


def test_a_finished_run_is_grown_and_trained_on_by_ranks(config, tmp_path):
    workdir, all_extents = tmp_path / "run", (0, 1, 2)
    train(config, workdir)
    for rank in (1, 0):
        run, is_last = train(config, workdir, (rank, 2), num_members=6, extents=all_extents)
    assert is_last
    assert run.members.tolist() == list(range(6))
    assert run.extents == all_extents
    expected = train(config, tmp_path / "whole", num_members=6, extents=all_extents).run
    assert_same(run, expected)
    assert run.config == expected.config


def test_fewer_or_more_ranks_go_on(config, whole, tmp_path):
    """The folders on the disk decide."""
    train(config, tmp_path, (1, 3))
    run, is_last = train(config, tmp_path, (1, 2))
    assert run.members.tolist() == [2]
    with pytest.raises(ValueError, match=r"rank 3 of 5 has nothing to train: .* at most 3"):
        train(config, tmp_path, (3, 5))
    run, is_last = train(config, tmp_path, (0, 2))
    assert is_last
    assert_same(run, whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "another config.*: seed: 0 -> 1"),
        ({"batch_size": 20}, "another config.*: batch_size: 25 -> 20"),
        ({"plan": "default,num_devices=2"}, "another config.*: plan: .default,num_devices=1. -> "),
        ({"num_members": 3}, r"is begun and not finished, all .* members: \[0, 1, 2, 3\] -> "),
        ({"num_members": 5}, r"is begun and not finished, all .* -> \[0, 1, 2, 3, 4\]"),
        ({"extents": (0, 1, 2)}, r"is begun and not finished, .*extents: \[0, 1\] -> \[0, 1, 2\]"),
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_a_rank_that_was_given_something_else_ends_in_one_line(
    config, begun, contents, changes, message, first
):
    before = contents(begun[first])
    with pytest.raises(ValueError, match=message) as told:
        train(config, begun[first], (1 - first, 2), **changes)
    assert "\n" not in str(told.value)
    assert contents(begun[first]) == before


@pytest.fixture(scope="module")
def begun(config, tmp_path_factory):
    """Runs of which one of two ranks is finished; only to be read."""
    folders = [tmp_path_factory.mktemp("begun") for _ in range(2)]
    for rank, folder in enumerate(folders):
        train(config, folder, (rank, 2))
    return folders


def test_a_rank_with_other_data_ends_in_one_line(config, toy_arrays, tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, **toy_arrays())
    train(config, tmp_path / "run", (0, 2), dataset=f"npz:{path}")
    arrays = toy_arrays()
    arrays["train_images"][0, 0, 0] ^= 1
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"was trained on other inputs than .* \(train"):
        train(config, tmp_path / "run", (1, 2), dataset=f"npz:{path}")
    assert not (tmp_path / "run" / "parts" / "2-4" / "run.json").exists()


def test_a_folder_of_something_else_is_left_alone(config, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="is not empty and not a run"):
        train(config, tmp_path, (1, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_of_one_rank(config, begun, rank):
    workdir = begun[1 - rank]
    folder = Piece(2, 4, True).folder(workdir) if rank else workdir
    with (
        lock_run(folder),
        pytest.raises(ValueError, match=f"{folder} is being written by process"),
    ):
        train(config, workdir, (rank, 2))


def test_who_comes_while_another_begins_waits_for_it(tmp_path):
    order = []

    def come_second():
        with locked_in_turn(tmp_path / ".lock", tmp_path):
            order.append(2)

    with locked_in_turn(tmp_path / ".lock", tmp_path):
        second = threading.Thread(target=come_second)
        second.start()
        second.join(0.5)
        order.append(1)
    second.join()
    assert order == [1, 2]


def test_of_two_that_finish_together_the_second_completes_the_run(config, tmp_path, monkeypatch):
    """The first has finished, but not yet given up its lock, when the second looks."""
    train(config, tmp_path, (0, 2))
    before = by_rank.make_layout
    held = contextlib.ExitStack()

    def meet(*arguments):
        layout = before(*arguments)
        if not layout.unfinished:
            held.enter_context(lock_run(tmp_path))
        return layout

    with held, monkeypatch.context() as patch:
        patch.setattr(by_rank, "make_layout", meet)
        run, is_last = train(config, tmp_path, (1, 2))
        assert not is_last
        assert run.members.tolist() == [2, 3]


def test_the_options_are_answered_at_once(binaries, tmp_path):
    answer = binaries.run("train", "--rank=1", f"--workdir={tmp_path / 'run'}", jax=False)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "--rank and --num_ranks must be given together" in answer.error
    assert "jax" not in answer.modules
    assert not (tmp_path / "run").exists()
