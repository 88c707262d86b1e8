"""`record=` of `train`: what runs hold of every example, against the members' own outputs."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from scipy.special import log_softmax

import ensemble_jax as ej
from ensemble_jax.data import Probe
from ensemble_jax.runs import extent_bytes

N, K = 3, 4
ALL = ("label_probability", "margin", "loss", "entropy", "probabilities", "logits")
EXTENTS = (0, 1, 2)


def network() -> ej.Network:
    def init(key, x):
        return ej.Variables({"kernel": jax.random.normal(key, (5, K))}, {})

    def apply(variables, x, *, key, train):
        return x @ variables.params["kernel"], variables.state

    return ej.Network(init, apply)


@pytest.fixture(scope="module")
def data() -> ej.Dataset:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(53, 5)).astype(np.float32), rng.integers(K, size=53)
    arrays = ej.Dataset.from_arrays(train=(x[:42], y[:42]), test=(x[42:], y[42:]))
    return dataclasses.replace(arrays, probes={"noise": Probe(x[:9] ** 2, np.arange(9))})


def train(data, workdir, *, num_members=N, record=ALL, **options) -> ej.Run:
    given = {"members": ej.members(num_members, learning_rate=0.1), "batch_size": 10}
    given |= {"extents": EXTENTS, "plan": "default,num_devices=1,members_per_call=1"}
    return ej.train(network(), data, workdir=workdir, record=record, **given | options)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> ej.Run:
    return train(data, tmp_path_factory.mktemp("recorded") / "run")


def reference(logits, labels):
    """The quantities of logits `[N, M, K]`, in float64."""
    log_p = log_softmax(logits.astype(np.float64), axis=-1)
    index = np.broadcast_to(labels, logits.shape[:2])[..., None]
    of_label = np.take_along_axis(logits, index, -1)
    others = np.array(logits)
    np.put_along_axis(others, index, -np.inf, -1)
    return {
        "label_probability": np.exp(np.take_along_axis(log_p, index, -1))[..., 0],
        "margin": of_label[..., 0] - others.max(-1),
        "loss": -np.take_along_axis(log_p, index, -1)[..., 0],
        "entropy": -(np.exp(log_p) * log_p).sum(-1),
        "probabilities": np.exp(log_p),
        "logits": logits,
    }


def assert_recorded(run, data):
    """That the last extent holds what the members say."""
    sets = {"train": data.train, "test": data.test, "noise": data.probes["noise"]}
    for name, examples in sets.items():
        labels = examples.labels if name in run.splits else np.zeros(len(examples), int)
        expected = reference(run.predict(examples.inputs), labels)
        for quantity in run.recorded_quantities[name]:
            got = run.recorded(quantity, name, run.extents[-1])[0]
            np.testing.assert_allclose(got, expected[quantity], 2e-3, 2e-3, err_msg=quantity)


def test_what_is_recorded_is_what_members_say(run, data):
    without_labels = ("entropy", "probabilities", "logits")
    assert run.recorded_quantities == {"train": ALL, "test": ALL, "noise": without_labels}
    assert run.recorded("logits", "train").shape == (3, N, 42, K)
    assert run.recorded("margin", "test").shape == (3, N, 11)
    assert_recorded(run, data)


def test_laws(run):
    for split in run.splits:
        margin = run.recorded("margin", split)
        np.testing.assert_array_equal(margin > 0, run.correct(split))
        loss = run.recorded("loss", split).astype(np.float64)
        np.testing.assert_allclose(loss.mean(-1), run.metrics[f"{split}_loss"], rtol=1e-3)
        p = run.recorded("label_probability", split).astype(np.float64)
        np.testing.assert_allclose(np.exp(-loss), p, rtol=4e-3, atol=1e-6)


def assert_same(one, two):
    assert one.recorded_quantities == two.recorded_quantities
    for name, quantities in one.recorded_quantities.items():
        for quantity in quantities:
            a, b = (run.recorded(quantity, name) for run in (one, two))
            assert a.tobytes() == b.tobytes(), (quantity, name)


def test_continued_and_grown_members_have_the_same_bits(run, data, tmp_path):
    train(data, tmp_path / "run", num_members=2, extents=(0, 1))
    train(data, tmp_path / "run", num_members=2)
    assert_same(train(data, tmp_path / "run"), run)


def test_in_pools(data, tmp_path):
    assert_recorded(train(data, tmp_path / "run", pool_images=16), data)


def test_by_default_it_is_the_probability_of_the_label(data, tmp_path, capsys):
    given = {"members": 2, "batch_size": 10, "extents": (0,), "plan": "default"}
    run = ej.train(network(), data, workdir=tmp_path / "run", **given)
    of_split = ("label_probability",)
    assert run.recorded_quantities == {"train": of_split, "test": of_split, "noise": ()}
    assert "kB in all: correctness and predicted classes; label_probability of train, test" in (
        capsys.readouterr().out
    )


def test_the_truth_is_kept_and_nobody_is_trained_on_it(data, tmp_path):
    noisy = (data.train.labels + (np.arange(42) % 5 == 0)) % K
    of_truth = ej.Dataset.from_arrays(
        train=(data.train.inputs, noisy),
        test=(data.test.inputs, data.test.labels),
        train_true_labels=data.train.labels,
    )
    given = {"members": 2, "batch_size": 10, "extents": (0, 1), "plan": "default,num_devices=1"}
    run = ej.train(network(), of_truth, workdir=tmp_path / "a", **given)
    np.testing.assert_array_equal(run.labels["train"], noisy)
    np.testing.assert_array_equal(run.true_labels("train"), data.train.labels)
    assert run.true_labels("test") is None
    without = ej.Dataset.from_arrays(
        train=(data.train.inputs, noisy), test=(data.test.inputs, data.test.labels)
    )
    other = ej.train(network(), without, workdir=tmp_path / "b", **given)
    assert_same(run, other)


class Listener:
    """An observer that keeps the records that it is told."""

    def __init__(self):
        self.records = []

    def epoch_done(self, epoch, losses):
        pass

    def extent_written(self, record):
        self.records.append(record)


def test_labels_are_those_of_the_set_and_observers_are_told(data, tmp_path):
    listener = Listener()
    members = ej.members(2, learning_rate=0.1, label_noise=0.9)
    record = ("loss:train", "entropy:noise", "logits:test", "margin:train")
    run = train(data, tmp_path / "run", members=members, record=record, observer=listener)
    assert run.recorded_quantities == {
        "train": ("margin", "loss"),
        "test": ("logits",),
        "noise": ("entropy",),
    }
    assert (run.train_labels != data.train.labels).any()
    assert_recorded(run, data)
    np.testing.assert_array_equal(run.true_labels("train"), data.train.labels)
    assert run.true_labels("test") is None
    for record, extent in zip(listener.records, EXTENTS, strict=True):
        assert record.num_bytes == extent_bytes(run.manifest)
        told = record.splits["train"].recorded["margin"]
        np.testing.assert_array_equal(told, run.recorded("margin", "train", extent)[0])


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ("margin", "record must be several texts, .* got 'margin'"),
        (("odds",), "record must be of label_probability, margin, .* got 'odds'"),
        (("logits:",), "record must be of label_probability, .* got 'logits:'"),
        (("logits:dev",), "record must be of the sets train, test, noise, got logits:dev"),
        (("loss:noise",), "record must not be loss of the probe noise, which has no labels"),
    ],
)
def test_mistakes_leave_nothing_behind(data, tmp_path, record, told):
    with pytest.raises(ValueError, match=told):
        train(data, tmp_path / "run", record=record)
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_what_it_records(run, data):
    with pytest.raises(ValueError, match=r'another config.*record: .* -> \["margin"\]'):
        train(data, run.directory, record=("margin",))
