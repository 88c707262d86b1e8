from __future__ import annotations

import gc
import shutil
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax.extent import Evaluations
from ensemble_jax.options import Optimizer
from ensemble_jax.training import (
    Checkpoints,
    MemberState,
    Saving,
    train_loop,
)

# Orbax leaves coroutines of a reading that failed, and Python complains when it collects them.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collect_what_orbax_leaves():
    gc.freeze()  # what other tests have left need not be looked at
    yield
    gc.collect()
    gc.unfreeze()


def make_state(tiny, optimizer: Optimizer) -> MemberState:
    """A real state of three members with numbers that differ everywhere."""
    init = tiny.make_training(optimizer=optimizer).init
    shapes = jax.eval_shape(init, tiny.member(0), tiny.examples()[0][:1])
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: (100 * rng.normal(size=(3, *x.shape))).astype(x.dtype), shapes)


def at(state: MemberState, extent: int) -> MemberState:
    return jax.tree.map(lambda x: x + x.dtype.type(extent), state)


def assert_equal(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for our, their in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert our.dtype == their.dtype
        np.testing.assert_array_equal(our, their)


@pytest.fixture
def state(tiny):
    return make_state(tiny, Optimizer.MOMENTUM)


@pytest.fixture
def checkpoints(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    yield checkpoints
    checkpoints.close()


def folder(tmp_path: Path, extent: int) -> Path:
    return tmp_path / "checkpoints" / str(extent)


@pytest.mark.parametrize("optimizer", Optimizer)
def test_every_optimizers_state_comes_back(tiny, tmp_path, checkpoints, optimizer):
    state = make_state(tiny, optimizer)
    checkpoints.save(5, state)
    shapes = jax.eval_shape(lambda: state)
    assert_equal(checkpoints.restore_latest(shapes)[1], state)
    # As another process reads it.
    again = Checkpoints(tmp_path / "checkpoints")
    extent, restored = again.restore_latest(shapes)
    again.close()
    assert extent == 5
    assert_equal(restored, state)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(restored))


def test_none_where_there_is_none(checkpoints, state):
    assert checkpoints.restore_latest(state) is None


def test_the_last_two_are_kept(tmp_path, checkpoints, state):
    for extent in (0, 1, 5, 10):
        checkpoints.save(extent, at(state, extent))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["10", "5"]
    extent, restored = checkpoints.restore_latest(state)
    assert extent == 10
    assert_equal(restored, at(state, 10))


@pytest.mark.parametrize("foreign", ["of another run", "of another epoch", "of an old run"])
def test_one_of_another_run_or_epoch_is_not_read(tmp_path, state, foreign):
    of_other = Checkpoints(tmp_path / "checkpoints", "" if foreign == "of an old run" else "other")
    of_other.save(1, state)
    of_other.save(2, state)
    of_other.close()
    own = "own"
    if foreign == "of another epoch":
        own = "other"
        shutil.rmtree(folder(tmp_path, 2))
        folder(tmp_path, 1).rename(folder(tmp_path, 2))
    checkpoints = Checkpoints(tmp_path / "checkpoints", own)
    with pytest.warns(UserWarning, match="is left out: it is of another run or another epoch"):
        assert checkpoints.restore_latest(jax.eval_shape(lambda: state)) is None
    checkpoints.save(3, state)
    assert_equal(checkpoints.restore_latest(jax.eval_shape(lambda: state))[1], state)
    checkpoints.close()


def test_an_extent_can_be_saved_again(checkpoints, state):
    """A run that stopped after extent 0 measures it again."""
    checkpoints.save(0, state)
    checkpoints.save(0, at(state, 1))
    extent, restored = checkpoints.restore_latest(state)
    assert extent == 0
    assert_equal(restored, at(state, 1))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite(path: Path) -> None:
    """One byte in the middle is another one."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def data_files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and path.parent.name == "d")


@pytest.mark.parametrize(
    "damage", [truncate, overwrite, Path.unlink], ids=["truncated", "overwritten", "deleted"]
)
def test_a_damaged_one_falls_back_to_the_one_before(tmp_path, checkpoints, state, damage):
    """Each file of data is damaged in turn; some are not needed to read what was saved."""
    checkpoints.save(1, at(state, 1))
    checkpoints.save(2, at(state, 2))
    whole = tmp_path / "whole"
    shutil.copytree(folder(tmp_path, 2), whole)
    fallen_back = 0
    for file in data_files(whole):
        shutil.rmtree(folder(tmp_path, 2))
        shutil.copytree(whole, folder(tmp_path, 2))
        damage(folder(tmp_path, 2) / file.relative_to(whole))
        with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
            extent, restored = checkpoints.restore_latest(state)
        assert_equal(restored, at(state, extent))
        assert len(caught) == (extent == 1)
        fallen_back += extent == 1
    assert fallen_back > 0


def test_a_number_that_has_changed_is_noticed(tmp_path, checkpoints, state):
    """Orbax reads it without complaint."""
    large = {"numbers": np.random.default_rng(0).normal(size=5000).astype(np.float32)}
    checkpoints.save(1, large)
    checkpoints.save(2, {"numbers": large["numbers"] + 1})
    overwrite(max(data_files(folder(tmp_path, 2)), key=lambda path: path.stat().st_size))
    with pytest.warns(UserWarning, match="its numbers are not those that were written"):
        extent, restored = checkpoints.restore_latest(large)
    assert extent == 1
    assert_equal(restored, large)


def test_one_of_other_shapes_falls_back(checkpoints, state):
    checkpoints.save(1, state)
    checkpoints.save(2, jax.tree.map(lambda x: x[:2], state))

    with pytest.warns(UserWarning, match="epoch 2 cannot be read .* of another shape or type"):
        epoch, restored = checkpoints.restore_latest(state)

    assert epoch == 1
    assert_equal(restored, state)


@pytest.mark.parametrize("emptied", ["default", "."])
def test_one_without_its_files_falls_back(tmp_path, checkpoints, state, emptied):
    checkpoints.save(1, at(state, 1))
    checkpoints.save(2, at(state, 2))
    for path in (folder(tmp_path, 2) / emptied).rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    message = r"^the checkpoint of epoch 2 cannot be read and is left out: "
    with pytest.warns(UserWarning, match=message):
        extent, restored = checkpoints.restore_latest(state)
    assert extent == 1
    assert_equal(restored, at(state, 1))
    # The training goes on from there, and its checkpoints replace what is broken.
    checkpoints.save(2, at(state, 3))
    checkpoints.save(3, at(state, 4))
    extent, restored = checkpoints.restore_latest(state)
    assert extent == 3
    assert_equal(restored, at(state, 4))


def test_a_new_start_replaces_all_that_is_broken(tmp_path, checkpoints, state):
    for extent in (5, 10):
        checkpoints.save(extent, state)
        for file in data_files(folder(tmp_path, extent)):
            file.write_bytes(b"")
    with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
        assert checkpoints.restore_latest(state) is None
    assert [str(warning.message)[:26] for warning in caught] == [
        "the checkpoint of epoch 10",
        "the checkpoint of epoch 5 ",
    ]
    checkpoints.save(0, state)
    assert checkpoints.restore_latest(state)[0] == 0


def test_an_epoch_can_be_set_after_which_none_will_do(checkpoints, state):
    for epoch in (3, 7):
        checkpoints.save(epoch, at(state, epoch))
    assert checkpoints.epochs == (3, 7)
    assert checkpoints.restore_latest(state, up_to=6)[0] == 3
    assert checkpoints.restore_latest(state, up_to=2) is None


class Silent:
    """Is told of everything and says nothing."""

    def epoch_done(self, epoch, losses):
        pass

    def extent_written(self, record):
        pass


def test_a_training_stopped_between_extents_goes_on_from_there_to_the_same_bits(tiny, checkpoints):
    placement, training = tiny.compile([3, 5])
    stops = iter([False] * 4 + [True])

    def run(first_epoch, state, stop_asked=lambda: False, saving=None):
        measured = {}
        reached = train_loop(
            training,
            state,
            first_epoch=first_epoch,
            extents=(0, 7),
            evaluate=lambda state: Evaluations(
                {}, {"copy": jax.tree.map(jnp.copy, state.variables)}
            ),
            to_host=placement.gather,
            write=lambda record: measured.update({record.extent: record}),
            observer=Silent(),
            saving=saving,
            stop_asked=stop_asked,
        )
        return placement.gather(reached.state), measured

    undisturbed, whole = run(0, training.init())
    # Stopped after four epochs, with the only checkpoint there is: no extent makes one due.
    _, before = run(0, training.init(), lambda: next(stops), Saving(checkpoints.save, 0))
    assert list(before) == [0]
    epoch, state = checkpoints.restore_latest(training.state_shape)
    assert epoch == 4
    continued, after = run(epoch, placement.spread(state))
    assert list(after) == [7]
    assert_equal(continued, undisturbed)
    for extent, record in {**before, **after}.items():
        assert_equal(record.probes, whole[extent].probes)
