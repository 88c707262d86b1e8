"""What changes a run from outside: options of JAX, flags and versions."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ensemble_jax as ej
from ensemble_jax.numerics import unusual_options
from ensemble_jax.options import Source
from ensemble_jax.runs import load_run
from ensemble_jax.training.keys import member_key

INPUTS, LABELS = np.random.default_rng(0).normal(size=(24, 6)), np.arange(24) % 3


def network() -> ej.Network:
    """Draws its initialisation and its dropout."""

    def init(key, x):
        return ej.Variables({"kernel": jax.random.normal(key, (6, 3))}, {})

    def apply(variables, x, *, key, train):
        if train:
            x = jnp.where(jax.random.bernoulli(key, 0.5, x.shape), 2 * x, 0)
        return x @ variables.params["kernel"], variables.state

    return ej.Network(init, apply)


def train(workdir, extents=(0, 1)):
    examples = INPUTS.astype(np.float32), LABELS
    data = ej.Dataset.from_arrays(
        train=examples, test=(INPUTS[:10].astype(np.float32) + 1, LABELS[:10])
    )
    return ej.train(
        network(),
        data,
        members=2,
        batch_size=5,
        extents=extents,
        plan="default,num_devices=1",
        workdir=workdir,
    )


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return train(tmp_path_factory.mktemp("usual") / "run")


@pytest.mark.parametrize(
    "option",
    [
        lambda: jax.default_prng_impl("rbg"),
        lambda: jax.threefry_partitionable(False),
        lambda: jax.numpy_dtype_promotion("strict"),
        lambda: jax.numpy_rank_promotion("raise"),
    ],
    ids=["other keys", "other draws", "strict types", "strict ranks"],
)
def test_options_of_jax_change_no_member(usual, assert_same_records, tmp_path, option):
    with option():
        run = train(tmp_path / "run")
        key = member_key(0, Source.ORDER, 0)
    assert_same_records(run.directory, usual.directory)
    assert run.manifest.prng == str(jax.random.key_impl(key)) == "threefry2x32"


def test_flags_of_compilers_are_recorded(monkeypatch, usual):
    assert usual.manifest.environment == {}
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "")
    assert unusual_options() == {"XLA_FLAGS": "--xla_cpu_enable_fast_math=true"}


def test_other_software_is_told_and_recorded_when_a_run_is_continued(tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    train(workdir)
    path = workdir / "run.json"
    content = json.loads(path.read_text())
    content["versions"]["jax"] = "0.0.1"
    path.write_text(json.dumps(content))
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    message = (
        rf"^{workdir} is continued with other software than before, which may round differently: "
        rf"versions\.jax: \"0\.0\.1\" -> \"{jax.__version__}\"; environment\.XLA_FLAGS: "
    )
    with pytest.warns(UserWarning, match=message):
        train(workdir, (0, 1, 2))
    # What is as it was the last time is not told again.
    train(workdir, (0, 1, 2, 3))
    manifest = load_run(workdir).manifest
    assert manifest.versions["jax"] == "0.0.1"
    (continued,) = manifest.continuations
    assert continued["versions"]["jax"] == jax.__version__
    assert continued["environment"] == {"XLA_FLAGS": "--xla_cpu_enable_fast_math=true"}
