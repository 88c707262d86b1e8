"""Optimizers: what is taken for one, learning rates step by step, and what decays."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ensemble_jax.hyperparameters import Hyperparameters
from ensemble_jax.optimizers import as_optimizer, learning_rate_schedule, named_optimizer
from ensemble_jax.options import Optimizer, Schedule

STEPS_PER_EPOCH, NUM_STEPS = 5, 20
PARAMS = {
    "Dense_0": {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.full(3, 2.0)},
    "BatchNorm_0": {"scale": jnp.full(3, 2.0), "bias": jnp.full(3, 2.0)},
}


def numbers(**values) -> Hyperparameters:
    defaults = {"learning_rate": 0.1, "decay_factor": 2.0, "decay_epochs": 1}
    return Hyperparameters(defaults | values, num_steps=NUM_STEPS, steps_per_epoch=STEPS_PER_EPOCH)


def zeros_like(params):
    return jax.tree.map(jnp.zeros_like, params)


def update(rule, gradient, params=PARAMS):
    return rule.update(gradient, rule.init(params), params)[0]


def reference_rate(schedule, step, warmup_epochs, rate=0.1):
    warmup = warmup_epochs * STEPS_PER_EPOCH
    done = min(max((step - warmup) / (NUM_STEPS - warmup), 0), 1)
    factor = {
        Schedule.CONSTANT: 1.0,
        Schedule.STEP: 0.5 ** (step // STEPS_PER_EPOCH),
        Schedule.COSINE: (1 + np.cos(np.pi * done)) / 2,
        Schedule.LINEAR: 1 - done,
    }[schedule]
    return rate * factor * (min(step / warmup, 1) if warmup else 1)


@pytest.mark.parametrize("warmup_epochs", [None, 0.0, 0.4, 2.0])
@pytest.mark.parametrize("schedule", Schedule)
def test_learning_rates(schedule, warmup_epochs):
    given = {} if warmup_epochs is None else {"warmup_epochs": warmup_epochs}
    rate = learning_rate_schedule(schedule, numbers(**given))
    steps = range(NUM_STEPS + 1)
    expected = [reference_rate(schedule, step, warmup_epochs or 0.0) for step in steps]
    np.testing.assert_allclose([rate(step) for step in steps], expected, rtol=1e-6, atol=1e-9)
    traced = jax.vmap(rate)(jnp.arange(NUM_STEPS + 1))
    np.testing.assert_allclose(traced, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("factor", "every", "expected"),
    [
        # The paper's: divided by 1.8 every 20 epochs.
        (1.8, 20, {0: 0.05, 19: 0.05, 20: 0.05 / 1.8, 39: 0.05 / 1.8, 40: 0.05 / 3.24}),
        (2.0, 1, {0: 0.05, 1: 0.025, 2: 0.0125}),
        (1.0, 3, {0: 0.05, 3: 0.05, 100: 0.05}),
    ],
)
def test_the_rate_of_an_epoch_is_that_of_all_its_steps(factor, every, expected):
    hp = numbers(learning_rate=0.05, decay_factor=factor, decay_epochs=every)
    rate = learning_rate_schedule(Schedule.STEP, hp)
    for epoch, value in expected.items():
        for step in (0, STEPS_PER_EPOCH - 1):
            assert float(rate(epoch * STEPS_PER_EPOCH + step)) == pytest.approx(value, rel=1e-6)


def test_l2_shrinks_kernels_and_nothing_else():
    """Of a gradient of zero, SGD's step is that of `l2 * sum(kernel ** 2)` alone."""
    rule = named_optimizer(Optimizer.SGD)(numbers(learning_rate=0.5, l2=0.03))
    updates = update(rule, zeros_like(PARAMS))
    np.testing.assert_allclose(updates["Dense_0"].pop("kernel"), -0.5 * 2 * 0.03 * 2.0, rtol=1e-6)
    assert not any(leaf.any() for leaf in jax.tree.leaves(updates))


@pytest.mark.parametrize("optimizer", [Optimizer.SGD, Optimizer.ADAMW, Optimizer.LION])
def test_weight_decay_is_decoupled_and_of_kernels(optimizer):
    """It is not in the gradient that an optimizer scales, but in the step."""
    rule = named_optimizer(optimizer)(numbers(learning_rate=0.5, weight_decay=0.03))
    updates = update(rule, zeros_like(PARAMS))
    np.testing.assert_allclose(updates["Dense_0"].pop("kernel"), -0.5 * 0.03 * 2.0, rtol=1e-6)
    assert not any(leaf.any() for leaf in jax.tree.leaves(updates))


def test_adamw_is_optaxs_with_its_decay():
    ours = named_optimizer(Optimizer.ADAMW, Schedule.CONSTANT)(numbers())
    theirs = optax.adamw(0.1, mask=lambda params: jax.tree.map(lambda x: x.ndim > 1, params))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        update(ours, PARAMS),
        update(theirs, PARAMS),
    )


@pytest.mark.parametrize(("most", "scale"), [(0.0, 1.0), (1e9, 1.0), (0.5, None)])
def test_all_gradients_together_are_clipped(most, scale):
    norm = float(optax.tree.norm(PARAMS))
    scale = most / norm if scale is None else scale
    rule = named_optimizer(Optimizer.SGD, Schedule.CONSTANT)(numbers(clip_norm=most))
    jax.tree.map(
        lambda u, g: np.testing.assert_allclose(u, -0.1 * scale * g, rtol=1e-5),
        update(rule, PARAMS),
        PARAMS,
    )


@pytest.mark.parametrize("schedule", Schedule)
@pytest.mark.parametrize("optimizer", Optimizer)
def test_every_number_may_be_traced(optimizer, schedule):
    """Each of two members has its own numbers in one program."""
    values = {
        "learning_rate": jnp.float32([0.1, 0.2]),
        "decay_factor": jnp.float32([2, 3]),
        "decay_epochs": jnp.int32([1, 2]),
        "momentum": jnp.float32([0.5, 0.9]),
        "l2": jnp.float32([0, 0]),
        "clip_norm": jnp.float32([0, 1e9]),
        "weight_decay": jnp.float32([0, 0]),
    }

    def of_member(values):
        hp = Hyperparameters(values, num_steps=NUM_STEPS, steps_per_epoch=STEPS_PER_EPOCH)
        return update(named_optimizer(optimizer, schedule)(hp), PARAMS)["Dense_0"]["kernel"]

    updates = jax.jit(jax.vmap(of_member))(values)
    assert (updates < 0).all()
    np.testing.assert_allclose(updates[1], 2 * updates[0], rtol=1e-4)


@pytest.mark.parametrize("optimizer", [o for o in Optimizer if o is not Optimizer.MOMENTUM])
def test_momentum_is_that_of_the_optimizer_momentum_alone(optimizer):
    def two_steps(momentum):
        rule = named_optimizer(optimizer)(numbers(momentum=momentum))
        _, state = rule.update(PARAMS, rule.init(PARAMS), PARAMS)
        return rule.update(PARAMS, state, PARAMS)[0]

    jax.tree.map(np.testing.assert_array_equal, two_steps(0.1), two_steps(0.9))


@pytest.mark.parametrize("name", [optimizer.value for optimizer in Optimizer])
def test_names_need_no_more_than_a_learning_rate(name):
    hp = Hyperparameters({"learning_rate": 0.1}, num_steps=1, steps_per_epoch=1)
    assert jax.tree.leaves(update(as_optimizer(name)(hp), PARAMS))


def test_transformations_masks_and_chains_are_taken_as_they_are():
    labels = {"Dense_0": "fast", "BatchNorm_0": "frozen"}
    rules = {"fast": optax.chain(optax.clip(1.0), optax.sgd(0.1)), "frozen": optax.set_to_zero()}
    for optimizer in (
        optax.multi_transform(rules, labels),
        lambda hp: optax.multi_transform(rules, labels),
    ):
        updates = update(as_optimizer(optimizer)(numbers()), PARAMS)
        np.testing.assert_allclose(updates["Dense_0"]["kernel"], -0.1)
        assert not updates["BatchNorm_0"]["scale"].any()


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [
        ("adm", "optimizer must be one of sgd, .*, got 'adm'"),
        (3, "optimizer must be a function of the hyperparameters .* got 3"),
        (lambda hp: None, "optimizer must return an optax transformation, got None"),
        (
            lambda hp: optax.sgd(hp.rate),
            "optimizer: hyperparameters are learning_rate, .* and steps_per_epoch, got rate",
        ),
    ],
)
def test_mistakes(optimizer, told):
    with pytest.raises(ValueError, match=told):
        as_optimizer(optimizer)(numbers())


def test_hyperparameters_that_decide_what_python_does_are_told_of():
    """`warmup_cosine_decay_schedule` asks whether its peak is 0."""

    def optimizer(hp):
        peak = hp.learning_rate
        return optax.sgd(optax.warmup_cosine_decay_schedule(0, peak, 1, 10, 0.1 * peak))

    def traced(rate):
        hp = Hyperparameters({"learning_rate": rate}, num_steps=1, steps_per_epoch=1)
        return as_optimizer(optimizer)(hp).init(PARAMS)

    with pytest.raises(ValueError, match="scale a schedule of peak 1"):
        jax.eval_shape(traced, 0.1)


def test_a_schedule_says_what_members_lack():
    hp = Hyperparameters({"learning_rate": 0.1}, num_steps=1, steps_per_epoch=1)
    with pytest.raises(ValueError, match="members need the hyperparameter decay_factor"):
        named_optimizer(Optimizer.SGD, Schedule.STEP)(hp)


def test_what_was_read_is_known():
    """So a run is not continued to other extents where its learning rates depend on them."""
    for schedule in Schedule:
        hp = numbers()
        named_optimizer(Optimizer.SGD, schedule)(hp)
        assert ("num_steps" in hp.read) == (schedule in (Schedule.COSINE, Schedule.LINEAR))
