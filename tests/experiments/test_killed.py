"""SIGKILL at random moments, again and again: the run ends with the bits of one left in peace.

ENSEMBLE_JAX_TEST_KILLS=20 kills 20 times instead of five.
"""

import os
import random
import signal
import time

from ensemble_jax import load_run

KILLS = int(os.environ.get("ENSEMBLE_JAX_TEST_KILLS", "5"))


def files_below(directory):
    """The files while a process writes them: os.walk passes over a folder that is just gone."""
    return {os.path.join(folder, name) for folder, _, names in os.walk(directory) for name in names}


def test_a_run_killed_at_random_moments_ends_with_the_same_bits(
    binaries, toy_job, undisturbed, assert_same_records, tmp_path
):
    """Moments in which the files change, which are those that matter, and shortly after them."""
    seed = random.randrange(2**32)
    print(f"random moments of seed {seed}")  # shown where the test fails
    chance = random.Random(seed)
    directory, runs, kills = tmp_path / "0", 0, 0
    while kills < KILLS:
        command = ("train", *toy_job, f"--workdir={directory}")
        seen, changes = files_below(directory), chance.randint(1, 6)

        def changed_often_enough():
            nonlocal seen, changes
            now = files_below(directory)  # noqa: B023
            changes -= now != seen
            seen = now
            return changes <= 0

        delay = chance.choice([0.0, chance.uniform(0, 0.1)])
        process = binaries.start(*command)
        answer = process.stop(
            signal.SIGKILL,
            lambda: changed_often_enough() and time.sleep(delay) is None,  # noqa: B023
        )
        if answer.returncode == 0:  # it was faster
            assert_same_records(directory, undisturbed)
            runs += 1
            directory = tmp_path / str(runs)
            continue
        assert answer.returncode == -signal.SIGKILL, answer.stderr
        assert "error" not in answer.stderr
        kills += 1
        if (directory / "run.json").exists():
            run = load_run(directory)
            for extent in run.extents:
                assert run.correct("test", extent).shape == (1, 4, 30)
    completed = binaries.run("train", *toy_job, f"--workdir={directory}")
    assert completed.returncode == 0, completed.stderr
    assert_same_records(directory, undisturbed)
