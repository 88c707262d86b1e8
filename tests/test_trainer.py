"""`train`: anyone's network, optimizer and data; against plain loops, killed, and mistaken."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

import ensemble_jax as ej
from ensemble_jax.data import Probe
from ensemble_jax.networks import as_network
from ensemble_jax.ops import fast_key
from ensemble_jax.options import Source
from ensemble_jax.training.keys import member_key

N, EPOCHS, BATCH, NUM_TRAIN, K = 3, 3, 8, 21, 3
RATES = np.float32([0.003, 0.01, 0.03])
PLAN = "default,num_devices=1"


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x, train: bool):
        # Without a bias, which batch normalisation would leave a gradient of rounding alone.
        x = nn.Conv(4, (3, 3), use_bias=False)(x)
        x = nn.relu(nn.BatchNorm(not train, momentum=0.9, use_fast_variance=False)(x))
        x = nn.Dropout(0.5, deterministic=not train)(nn.max_pool(x, (2, 2), (2, 2)))
        return nn.Dense(K)(x.reshape(len(x), -1))


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 4, (3, 3), use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(4, momentum=0.9, use_fast_variance=False, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.dense = nnx.Linear(16, K, rngs=rngs)

    def __call__(self, x):
        x = self.dropout(nnx.max_pool(nnx.relu(self.norm(self.conv(x))), (2, 2), (2, 2)))
        return self.dense(x.reshape(len(x), -1))


def pure_network() -> ej.Network:
    def init(key, x):
        return ej.Variables({"kernel": jax.random.normal(key, (16, K)) / 4}, {})

    def apply(variables, x, *, key, train):
        x = x.reshape(len(x), -1)
        if train:
            x = jnp.where(jax.random.bernoulli(key, 0.5, x.shape), 2 * x, 0)
        return x @ variables.params["kernel"], variables.state

    return ej.Network(init, apply)


def optimizer(hp):
    return optax.adamw(optax.cosine_decay_schedule(hp.learning_rate, hp.num_steps))


def make_arrays(size, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(size, 4, 4, 1)).astype(np.float32), rng.integers(0, K, size)


TRAIN, TEST = make_arrays(NUM_TRAIN, 0), make_arrays(10, 1)


@pytest.fixture(scope="module")
def data():
    return ej.Dataset.from_arrays(train=TRAIN, test=TEST)


def train(network, data, **options):
    given = {"members": ej.members(N, learning_rate=RATES), "optimizer": optimizer}
    given |= {"batch_size": BATCH, "extents": (0, 1, EPOCHS), "plan": PLAN}
    return ej.train(network, data, **given | options)


def plain_loop(network, member, mean, std):
    """One network of Flax and optax, step by step; the probabilities of the test examples."""
    one = as_network(network)
    inputs, labels = (TRAIN[0] - mean) / std, TRAIN[1]
    variables = one.init(member_key(0, Source.INITIALISATION, member), inputs)
    steps = -(-NUM_TRAIN // BATCH)
    rule = optax.adamw(optax.cosine_decay_schedule(RATES[member], EPOCHS * steps))
    state = rule.init(variables.params)

    @jax.jit
    def step(variables, state, x, y, key):
        def loss_of(params):
            outputs, kept = one.apply(ej.Variables(params, variables.state), x, key=key, train=True)
            return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean(), kept

        gradient, kept = jax.grad(loss_of, has_aux=True)(variables.params)
        updates, state = rule.update(gradient, state, variables.params)
        return ej.Variables(optax.apply_updates(variables.params, updates), kept), state

    for epoch in range(EPOCHS):
        order, dropout = (
            jax.random.fold_in(member_key(0, stream, member), epoch)
            for stream in (Source.ORDER, Source.DROPOUT)
        )
        rows = np.asarray(jax.random.permutation(order, NUM_TRAIN))
        for number in range(steps):
            batch = rows[number * BATCH : (number + 1) * BATCH]
            key = fast_key(jax.random.fold_in(dropout, number))
            variables, state = step(variables, state, inputs[batch], labels[batch], key)
    outputs, _ = one.apply(variables, (TEST[0] - mean) / std, key=None, train=False)
    return variables.params, outputs


@pytest.mark.parametrize(
    "network", [LinenNet(), NnxNet, pure_network()], ids=["linen", "nnx", "pure"]
)
def test_members_are_plain_loops(network, data):
    """With the last batch of each epoch a short one, and a learning rate for each member."""
    run = train(network, data)
    mean, std = (np.float32(run.manifest.normalisation[name]) for name in ("mean", "std"))
    outputs = run.predict(TEST[0])
    for member in range(N):
        params, expected = plain_loop(network, member, mean, std)
        np.testing.assert_allclose(outputs[member], expected, rtol=1e-4, atol=1e-5)
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), run.params(member), params
        )
        np.testing.assert_array_equal(run.predictions("test")[-1, member], expected.argmax(-1))


def test_a_run_without_a_folder_lives_as_long_as_it_is_held(data):
    run = train(pure_network(), data, extents=(1,))
    folder = run.directory
    assert folder.is_dir()
    del run
    assert not folder.exists()


def test_a_run_that_is_loaded_needs_its_network(data, tmp_path):
    trained = train(LinenNet(), data, extents=(1,), workdir=tmp_path / "run")
    run = ej.load_run(tmp_path / "run")
    with pytest.raises(ValueError, match=r"network must be given, since .* only as LinenNet\(\)"):
        run.predict(TEST[0])
    probabilities = run.predict(TEST[0], network=LinenNet(), members=[2], probabilities=True)
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(
        probabilities[0].argmax(-1), trained.predict(TEST[0])[2].argmax(-1)
    )
    with pytest.raises(ValueError, match=r"inputs must be \[M, 4, 4, 1\], got \[2, 3\]"):
        trained.predict(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"members must be of \[0, 1, 2\], got 7"):
        trained.predict(TEST[0], members=[7])
    assert run.ensemble_accuracy().shape == (1,)


def test_an_architecture_by_its_name_needs_no_further_words(tmp_path):
    run = ej.train("fully_connected", "digits", members=1, extents=(0,), workdir=tmp_path / "run")
    images = ej.load_dataset("digits").test.inputs
    loaded = ej.load_run(tmp_path / "run").predict(images)
    np.testing.assert_array_equal(loaded.argmax(-1), run.predictions("test")[-1])


def test_other_inputs_members_and_schedules_are_refused(data, tmp_path):
    folder = tmp_path / "run"
    train(pure_network(), data, extents=(0,), workdir=folder)
    pixels = TRAIN[0].copy()
    pixels[0, 0, 0] += 1
    changed = ej.Dataset.from_arrays(train=(pixels, TRAIN[1]), test=TEST)
    more = ej.members(N + 1, learning_rate=[*RATES, 1.0])
    with pytest.raises(ValueError, match=r"other inputs than arrays has now \(train.inputs differ"):
        train(pure_network(), changed, extents=(0,), members=more, workdir=folder)
    # The same ids, other pixels.
    probed = dataclasses.replace(data, probes={"new": Probe(TEST[0], np.arange(10))})
    train(pure_network(), probed, extents=(0,), workdir=tmp_path / "probed")
    probed = dataclasses.replace(data, probes={"new": Probe(TEST[0] + 1, np.arange(10))})
    with pytest.raises(ValueError, match=r"other inputs than arrays has now \(new.inputs differ\)"):
        train(pure_network(), probed, extents=(0,), members=more, workdir=tmp_path / "probed")
    other = ej.members(N, learning_rate=1.0)
    with pytest.raises(ValueError, match=r"another learning_rate, .* member 0: 0.003\d* -> 1.0"):
        train(pure_network(), data, members=other, extents=(0,), workdir=folder)
    with pytest.raises(ValueError, match="its learning rates depend on the number of steps"):
        train(pure_network(), data, extents=(0, 1), workdir=folder)


def test_a_run_grows(data, tmp_path):
    def grown(number, folder):
        of = {"members": ej.members(number, learning_rate=0.1), "optimizer": "sgd"}
        return train(pure_network(), data, extents=(0, 1), workdir=folder, **of)

    grown(2, tmp_path / "run")
    run, alone = grown(4, tmp_path / "run"), grown(4, None)
    np.testing.assert_array_equal(run.predictions("train"), alone.predictions("train"))
    np.testing.assert_array_equal(run.params()["kernel"], alone.params()["kernel"])


class Journal:
    def __init__(self):
        self.epochs, self.extents = [], []

    def epoch_done(self, epoch, losses):
        assert losses.shape == (N,)
        self.epochs.append(epoch)

    def extent_written(self, record):
        self.extents.append(record.extent)


def test_an_observer_is_told(data):
    journal = Journal()
    train(pure_network(), data, observer=journal)
    assert (journal.epochs, journal.extents) == ([1, 2, 3], [0, 1, 3])


SCRIPT = """
import sys
import numpy as np
import ensemble_jax as ej
sys.path.insert(0, {folder!r})
from test_trainer import LinenNet, optimizer, make_arrays, RATES
data = ej.Dataset.from_arrays(train=make_arrays(2000, 0), test=make_arrays(10, 1))
ej.train(LinenNet(), data, members=ej.members(3, learning_rate=RATES), optimizer=optimizer,
         batch_size=30, extents=range(0, 41), workdir=sys.argv[1])
"""


@pytest.mark.slow
def test_a_training_that_is_killed_ends_in_the_same_bits(tmp_path):
    script = SCRIPT.format(folder=str(Path(__file__).parent))

    def start(name):
        command = [sys.executable, "-c", script, str(tmp_path / name)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    killed = start("killed")
    while not (tmp_path / "killed" / "records" / "extent-000005.npz").exists():
        assert killed.poll() is None
    killed.kill()
    killed.wait()
    assert not (tmp_path / "killed" / "records" / "extent-000040.npz").exists()
    assert start("killed").wait() == 0
    whole, again = (ej.load_run(tmp_path / name) for name in ("whole", "killed"))
    np.testing.assert_array_equal(whole.predictions("train"), again.predictions("train"))
    jax.tree.map(np.testing.assert_array_equal, whole.params(), again.params())


class Wide(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(K + 1)(x.reshape(len(x), -1))


class Odd(nn.Module):
    @nn.compact
    def __call__(self, x, mode):
        return x


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"network": LinenNet}, r"got the class LinenNet: give an instance, LinenNet\(...\)"),
        ({"network": "resnet18"}, "network must be one of st_vgg, .* got 'resnet18'"),
        ({"network": 3}, "network must be a flax.linen module, .* got int"),
        ({"network": Wide()}, r"outputs \[B, K\] = \[8, 3\] for the 3 classes .* got \[8, 4\]"),
        ({"network": Odd()}, "module Odd requires the argument mode of __call__"),
        ({"data": np.zeros(3)}, "data must be a Dataset, .* or the name of one, got ndarray"),
        ({"data": "digitz"}, "digitz"),
        ({"optimizer": "adm"}, "optimizer must be one of sgd, .* got 'adm'"),
        ({"optimizer": lambda hp: optax.sgd(hp.lr)}, "hyperparameters are .* got lr"),
        ({"loss": lambda o, y: jnp.mean(o)}, r"loss must return one number for each example"),
        ({"batch_size": 22}, r"batch_size must lie in 1\.\.21 .* got 22"),
        ({"batch_size": "8"}, "batch_size must be a number of at least 1, got '8'"),
        ({"extents": 3}, "extents must be several numbers of epochs, got 3"),
        ({"extents": (2, 1)}, r"extents must be increasing, got \[2, 1\]"),
        ({"augment": "flip"}, "augment must be several texts"),
        ({"plan": "fast"}, "plan must be auto, default or NAME=VALUE"),
        ({"plan": "microbatches=2"}, "microbatches must be 1 where a network takes averages"),
        ({"protocol": "both"}, "protocol must be one of trajectory, independent, got 'both'"),
    ],
)
def test_mistakes_leave_nothing_behind(options, told, data, tmp_path):
    given = {"network": LinenNet(), "data": data} | options
    with pytest.raises(ValueError, match=told):
        train(workdir=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()
