"""Every function is compared with itself as JAX computes it."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from ensemble_jax import ops
from ensemble_jax.networks import fast_layers, slow_layers

KEY = jax.random.key(3)
DIMENSIONS = ("NHWC", "HWIO", "NHWC")


class Recorder:
    """A convolution that keeps the shapes it was called with."""

    def __init__(self):
        self.shapes = []

    def __call__(self, inputs, kernel, strides, padding):
        self.shapes.append((inputs.shape, kernel.shape, strides, padding))
        return ops.direct_convolution(inputs, kernel, strides, padding)


def normal(shape, seed=0, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def primitives_of(function, *args):
    """The names of all primitives, also of those in others."""

    def names(jaxpr):
        for equation in jaxpr.eqns:
            yield equation.primitive.name
            for inner in jax.extend.core.jaxprs_in_params(equation.params):
                yield from names(inner)

    return set(names(jax.make_jaxpr(function)(*args).jaxpr))


def assert_close(ours, theirs, tolerance=1e-5):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(
            np.asarray(a, np.float64),
            np.asarray(b, np.float64),
            rtol=tolerance,
            atol=tolerance * max(1, np.abs(np.asarray(b, np.float64)).max(initial=0)),
        ),
        ours,
        theirs,
    )
    assert jax.tree.map(jnp.result_type, ours) == jax.tree.map(jnp.result_type, theirs)


def assert_same(function, *args, tolerance=1e-5):
    """Results and gradients by all arguments; returns the shapes of the convolutions."""
    recorder = Recorder()
    result = jax.eval_shape(function, *args)
    cotangents = jax.tree.map(lambda x: normal(x.shape, 9, x.dtype), result)

    @partial(jax.jit, static_argnums=0)
    def both(function, *args):
        outputs, pull_back = jax.vjp(function, *args)
        return outputs, pull_back(cotangents)

    ours = both(fast_layers(function, recorder), *args)
    assert_close(ours, both(function, *args), tolerance)
    return recorder.shapes


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(8, (3, 3), strides=2)(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.max_pool(nn.relu(x), (3, 3), (2, 2), padding="SAME")
        x = nn.elu(nn.remat(nn.Conv)(8, (3, 3))(x))
        x = nn.avg_pool(x, (3, 3), (2, 2), padding="SAME", count_include_pad=False)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(3)(x.reshape(len(x), -1))


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Conv(3, 8, (5, 5), padding="VALID", rngs=rngs)
        self.second = nnx.Conv(8, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.head = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        x = nnx.max_pool(nnx.gelu(self.norm(self.first(x))), (2, 2), (2, 2))
        return self.head(nnx.relu(self.second(x)).mean((1, 2)))


class Case(NamedTuple):
    """A network as pure functions, and how many convolutions it has."""

    init: Any
    apply: Any  # of parameters, images and a key: logits and what else changes
    convolutions: int


def linen_case():
    net = LinenNet()

    def apply(variables, images, key):
        rngs = {"dropout": ops.fast_key(key)}
        return net.apply(variables, images, True, rngs=rngs, mutable=["batch_stats"])

    return Case(lambda key, images: net.init(key, images, False), apply, 2)


def nnx_case():
    def init(key, _):
        return nnx.state(NnxNet(nnx.Rngs(key)))

    graph = nnx.graphdef(NnxNet(nnx.Rngs(0)))

    def apply(state, images, _):
        net = nnx.merge(graph, state)
        logits = net(images)
        return logits, nnx.state(net, nnx.BatchStat)

    return Case(init, apply, 2)


def channels_first_case():
    """As Equinox has it: layers of one example `[C, H, W]`, and `vmap` over the batch."""

    def init(key, images):
        shapes = ((8, images.shape[-1], 3, 3), (8, 8, 3, 3), (3, 8))
        keys = jax.random.split(key, 3)
        return [0.3 * jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True)]

    def of_one(params, image, _):
        x = jnp.moveaxis(image, -1, 0)
        for kernel, padding in zip(params, (((1, 2), (0, 1)), ((0, 0), (0, 0))), strict=False):
            x = lax.conv_general_dilated(x[None], kernel, (1, 1), padding)[0]
            x = lax.reduce_window(
                jax.nn.relu(x), -jnp.inf, lax.max, (1, 2, 2), (1, 2, 2), ((0, 0), (0, 1), (0, 1))
            )
        return params[-1] @ x.mean((1, 2))

    def apply(params, images, key):
        return jax.vmap(of_one, (None, 0, None))(params, images, key), ()

    return Case(init, apply, 2)


CASES = [linen_case, nnx_case, channels_first_case]


def with_loss(apply):
    def loss(params, images, key):
        logits, state = apply(params, images, key)
        return (logits**2).sum(), (logits, state)

    return loss


def gradients(loss, params, images, key):
    """With nothing that is not a number to differentiate by."""
    inexact = jax.tree.map(lambda x: jnp.issubdtype(x.dtype, jnp.floating), params)
    leaves, tree = jax.tree.flatten(params)
    chosen = jax.tree.leaves(inexact)

    def of_leaves(floats):
        rest = iter(floats)
        whole = [
            next(rest) if is_float else leaf for leaf, is_float in zip(leaves, chosen, strict=True)
        ]
        return loss(jax.tree.unflatten(tree, whole), images, key)

    floats = [leaf for leaf, is_float in zip(leaves, chosen, strict=True) if is_float]
    return jax.value_and_grad(of_leaves, has_aux=True)(floats)


def over_members(lift, loss, *args):
    if lift == "vmap":
        return jax.jit(jax.vmap(partial(gradients, loss)))(*args)
    return jax.jit(lambda *args: lax.map(lambda args: gradients(loss, *args), args))(*args)


@pytest.mark.parametrize("lift", ["vmap", "map"])
@pytest.mark.parametrize("make_case", CASES, ids=lambda case: case.__name__)
def test_networks_of_any_library_train_as_before(make_case, lift):
    case = make_case()
    keys = jax.random.split(KEY, 2)
    images = normal((2, 4, 17, 15, 3))
    params = jax.vmap(case.init)(keys, images)
    recorder = Recorder()
    fast = with_loss(fast_layers(case.apply, recorder))
    ours = over_members(lift, fast, params, images, keys)
    theirs = over_members(lift, with_loss(case.apply), params, images, keys)
    assert_close(ours, theirs, 1e-4)
    assert len(recorder.shapes) == case.convolutions
    assert slow_layers(case.apply, jax.tree.map(lambda x: x[0], params), images[0], keys[0]) == []


@pytest.mark.parametrize("make_case", CASES, ids=lambda case: case.__name__)
def test_nothing_slow_is_left(make_case):
    case = make_case()
    args = case.init(KEY, normal((4, 17, 15, 3))), normal((4, 17, 15, 3)), KEY
    left = primitives_of(fast_layers(case.apply, ops.patches_convolution), *args)
    assert {"conv_general_dilated", "reduce_window_max", "expm1"} & left == set()


CONVOLUTIONS = {
    "same": {},
    "strides of 2": {"window_strides": (2, 2)},
    "different strides": {"window_strides": (1, 3)},
    "valid": {"padding": "VALID"},
    "padding of each side": {"padding": ((2, 0), (1, 3))},
    "channels first": {"dimension_numbers": ("NCHW", "OIHW", "NCHW"), "padding": ((1, 0), (0, 2))},
    "mixed order": {"dimension_numbers": ("HWNC", "OHWI", "CWNH"), "window_strides": (2, 1)},
    "wider result": {"preferred_element_type": jnp.float32, "dtype": jnp.bfloat16},
    "default precision": {"precision": "default"},
}


def convolution(*, axes=2, shape=(9, 7), channels=4, dtype=jnp.float32, **options):
    """A function of inputs and kernel, and these; options are those of XLA's convolution."""
    names = DIMENSIONS if axes == 2 else ("NHC", "HIO", "NHC")
    options = {
        "window_strides": (1,) * axes,
        "padding": "SAME",
        "dimension_numbers": names,
        **options,
    }
    sizes = dict(
        zip("HW", shape, strict=False),
        N=2,
        C=channels,
        O=6,
        I=channels // options.get("feature_group_count", 1),
    )
    lhs, rhs, _ = options["dimension_numbers"]
    inputs = normal([sizes[name] for name in lhs], 0, dtype)
    kernel = normal([3 if name in "HW" else sizes[name] for name in rhs], 1, dtype)
    return partial(lax.conv_general_dilated, **options), inputs, kernel


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_are_replaced(name):
    options = CONVOLUTIONS[name]
    tolerance = 2e-2 if "dtype" in options else 1e-5
    [shapes] = assert_same(*convolution(**options), tolerance=tolerance)
    assert shapes[0] == (2, 9, 7, 4)
    assert shapes[1] == (3, 3, 4, 6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_convolution_in_half_precision_stays_so(dtype):
    function, *args = convolution(dtype=dtype)
    assert len(assert_same(function, *args, tolerance=2e-2)) == 1
    assert fast_layers(function, ops.direct_convolution)(*args).dtype == dtype


@pytest.mark.parametrize("strides", [1, 2])
def test_a_convolution_over_one_axis_has_one_column(strides):
    function, *args = convolution(axes=1, window_strides=(strides,), padding=((2, 1),))
    [shapes] = assert_same(function, *args)
    assert shapes == ((2, 9, 1, 4), (3, 1, 4, 6), (strides, 1), ((2, 1), (0, 0)))


LEFT = {
    "convolution 3x3 with 2 groups": {"feature_group_count": 2},
    "convolution 3x3 with dilation": {"rhs_dilation": (2, 1), "padding": ((2, 2), (1, 1))},
    "convolution 3x3 in precision HIGHEST": {"precision": "highest"},
    "convolution 3x3 of int32": {"dtype": jnp.int32},
}


@pytest.mark.parametrize("name", LEFT)
def test_other_convolutions_are_left_alone_and_named(name):
    function, *args = convolution(**LEFT[name])
    recorder = Recorder()
    np.testing.assert_array_equal(fast_layers(function, recorder)(*args), function(*args))
    assert recorder.shapes == []
    assert slow_layers(function, *args) == [name]


def test_transposed_convolutions_and_those_of_volumes_are_left_alone():
    x, volume = normal((1, 6, 6, 2)), normal((1, 4, 4, 4, 2))

    def transposed(x, kernel):
        return lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=DIMENSIONS)

    def of_volumes(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (1, 1, 1), "SAME", dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
        )

    assert slow_layers(transposed, x, normal((3, 3, 2, 2))) == ["convolution 3x3 with dilation"]
    assert slow_layers(of_volumes, volume, normal((3, 3, 3, 2, 2))) == [
        "convolution 3x3x3 over 3 axes"
    ]


def test_convolutions_in_float64_are_left_alone():
    with jax.enable_x64(True):
        function, *args = convolution(dtype=jnp.float64)
        assert slow_layers(function, *args) == ["convolution 3x3 of float64"]


def test_a_precision_for_all_of_jax_holds_for_replaced_convolutions():
    function, *args = convolution()
    with jax.default_matmul_precision("highest"):
        assert slow_layers(function, *args) == []
        jaxpr = str(jax.make_jaxpr(fast_layers(function, ops.patches_convolution))(*args))
    assert "HIGHEST" in jaxpr


def test_slow_layers_are_counted_and_need_shapes_alone():
    def function(x, kernel):
        for _ in range(3):
            x = lax.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS, feature_group_count=2
            )
        return lax.reduce_window(x, 0.0, lax.add, (1, 9, 9, 1), (1, 1, 1, 1), "SAME")

    x = jax.ShapeDtypeStruct((1, 9, 9, 4), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 3, 2, 4), jnp.float32)
    assert slow_layers(function, x, kernel) == [
        "convolution 3x3 with 2 groups (3 times)",
        "sum pooling 9x9 that overlaps",
    ]


def pooled(kind, window, strides, padding, inputs):
    initial, operation = {"max": (-np.inf, lax.max), "sum": (0, lax.add)}[kind]
    initial = np.asarray(initial, inputs.dtype)
    return lax.reduce_window(inputs, initial, operation, window, strides, padding)


def distinct(shape):
    values = np.arange(np.prod(shape), dtype=np.float32) - 20
    return np.random.default_rng(0).permutation(values).reshape(shape)


POOLS = {
    "halves": ((1, 2, 2, 1), (1, 2, 2, 1), "VALID"),
    "same": ((1, 3, 3, 1), (1, 2, 2, 1), "SAME"),
    "padded": ((1, 3, 2, 1), (1, 1, 2, 1), ((0, 0), (2, 0), (0, 1), (0, 0))),
    "channels first": ((1, 1, 3, 3), (1, 1, 2, 2), "SAME"),
    "first axes": ((2, 3, 1, 1), (2, 2, 1, 1), "SAME"),
    "whole image": ((1, 9, 7, 1), (1, 1, 1, 1), "VALID"),
    "large": ((1, 5, 5, 1), (1, 5, 5, 1), "VALID"),
    "one axis": ((1, 3, 1, 1), (1, 2, 1, 1), "SAME"),
    "strides alone": ((1, 1, 1, 1), (1, 2, 2, 1), "VALID"),
}


@pytest.mark.parametrize("kind", ["max", "sum"])
@pytest.mark.parametrize("name", POOLS)
def test_pooling_is_replaced_and_exact(name, kind):
    function, inputs = partial(pooled, kind, *POOLS[name]), distinct((2, 9, 7, 8))
    fast = fast_layers(function, ops.patches_convolution)
    cotangent = distinct(jax.eval_shape(function, inputs).shape)

    @jax.jit
    def both(inputs):
        pairs = [jax.vjp(each, inputs) for each in (fast, function)]
        return [(outputs, *pull_back(cotangent)) for outputs, pull_back in pairs]

    ours, theirs = both(inputs)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5, atol=1e-5)
    assert not [p for p in primitives_of(fast, inputs) if p.startswith("reduce_window")]
    assert slow_layers(function, inputs) == []


def test_pooling_of_an_example_alone_is_replaced():
    function = partial(pooled, "max", (2, 2, 1), (2, 2, 1), "VALID")
    inputs = distinct((6, 4, 3))
    fast = fast_layers(function, ops.patches_convolution)
    np.testing.assert_array_equal(fast(inputs), function(inputs))
    assert "reduce_window_max" not in primitives_of(fast, inputs)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (partial(pooled, "max", (1, 2, 2, 2), (1, 2, 2, 2), "VALID"), "over 3 of 4 axes"),
        (lambda x: nn.pooling.min_pool(x, (2, 2)), "of another kind than maxima and sums"),
        (lambda x: pooled("sum", (1, 2, 2, 1), (1, 2, 2, 1), "VALID", x.astype(int)), "of int32"),
        (
            lambda x: lax.reduce_window(
                x, -np.inf, lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "VALID", (1, 1, 1, 1), (1, 2, 2, 1)
            ),
            "with dilation",
        ),
    ],
)
def test_other_pooling_is_left_alone_and_named(function, words):
    inputs = distinct((2, 6, 4, 4))
    fast = fast_layers(function, ops.patches_convolution)
    np.testing.assert_array_equal(fast(inputs), function(inputs))
    [told] = slow_layers(function, inputs)
    assert told.endswith(words)


def layer(kernel, x):
    return nn.relu(
        lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS)
    )


ARGS = normal((3, 3, 4, 4)), normal((2, 6, 5, 4), 1)


def test_layers_in_nested_jit_are_replaced():
    @jax.jit
    def inner(kernel, x):
        return jax.jit(layer)(kernel, jnp.tanh(x))

    def function(kernel, x):
        return {"sum": inner(kernel, x) + inner(kernel, 2 * x), "none": None}

    assert len(assert_same(function, *ARGS)) == 2


def test_jit_without_layers_stays():
    @jax.jit
    def scaled(x):
        return 2 * x

    fast = fast_layers(lambda kernel, x: layer(kernel, scaled(x)), Recorder())
    names = [
        equation.params["name"]
        for equation in jax.make_jaxpr(fast)(*ARGS).eqns
        if equation.primitive.name == "jit"
    ]
    assert "scaled" in names


@pytest.mark.parametrize(
    "policy", [None, jax.checkpoint_policies.everything_saveable], ids=["nothing", "everything"]
)
def test_layers_in_checkpoints_are_replaced_and_computed_again(policy):
    def function(kernel, x):
        block = jax.checkpoint(lambda k, x: layer(k, jnp.sin(layer(k, x))), policy=policy)
        return block(kernel, x)

    assert_same(function, *ARGS)
    fast = fast_layers(function, ops.patches_convolution)

    def sines(f):
        jaxpr = jax.make_jaxpr(jax.grad(lambda *args: f(*args).sum(), (0, 1)))(*ARGS)
        return str(jaxpr).count("= sin ")

    assert sines(fast) == sines(function) == (2 if policy is None else 1)
    assert slow_layers(function, *ARGS) == []


def test_gradients_within_the_function_are_as_before():
    def function(kernel, x):
        return jax.grad(lambda k: (layer(k, x) ** 2).sum())(kernel)

    assert_close(fast_layers(function, ops.direct_convolution)(*ARGS), function(*ARGS))
    block = jax.checkpoint(layer)

    def of_checkpoint(kernel, x):
        return jax.grad(lambda k: (block(k, x) ** 2).sum())(kernel)

    assert_close(fast_layers(of_checkpoint, ops.direct_convolution)(*ARGS), of_checkpoint(*ARGS))


def test_functions_keep_rules_of_their_own():
    @jax.custom_vjp
    def strange(x):
        return jnp.sin(x)

    strange.defvjp(lambda x: (strange(x), None), lambda _, cotangent: (7 * cotangent,))

    @jax.custom_jvp
    def odd(x):
        return jnp.cos(x)

    odd.defjvp(lambda primals, tangents: (odd(*primals), 5 * tangents[0]))

    def function(kernel, x):
        return (nn.relu(layer(kernel, 0 * x)) + odd(strange(x))).sum()

    fast = fast_layers(function, ops.direct_convolution)
    by_kernel, by_inputs = jax.grad(fast, (0, 1))(*ARGS)
    np.testing.assert_array_equal(by_kernel, 0)  # relu's derivative at 0
    np.testing.assert_array_equal(by_inputs, 35)


def test_layers_in_loops_and_rules_are_left_alone_and_named():
    @jax.custom_vjp
    def ruled(kernel, x):
        return layer(kernel, x)

    ruled.defvjp(lambda *args: (ruled(*args), args), lambda args, cotangent: args)

    def function(kernel, x):
        x, _ = lax.scan(lambda x, _: (jnp.tanh(layer(kernel, x)), None), x, None, 2)
        x = lax.cond(x.sum() > 0, jax.jit(layer), lambda _, x: x, kernel, x)
        return ruled(kernel, x)

    recorder = Recorder()
    np.testing.assert_array_equal(fast_layers(function, recorder)(*ARGS), function(*ARGS))
    assert recorder.shapes == []
    assert slow_layers(function, *ARGS) == [
        "convolution 3x3 inside scan",
        "convolution 3x3 inside cond",
        "convolution 3x3 inside custom_vjp_call",
    ]


def test_traced_arrays_may_be_closed_over():
    kernels, x = normal((3, 3, 3, 4, 4)), ARGS[1]

    def of_member(convolve):
        def loss(kernel):
            return fast_layers(lambda x: layer(kernel, x), convolve)(x).sum()

        return jax.jit(jax.vmap(jax.value_and_grad(loss)))(kernels)

    expected = jax.vmap(jax.value_and_grad(lambda kernel: layer(kernel, x).sum()))(kernels)
    recorder = Recorder()
    assert_close(of_member(recorder), expected)
    assert len(recorder.shapes) == 1


def test_arguments_and_results_are_any_pytrees():
    def function(params, rest):
        return {"same": params["kernel"], "constant": 3.0, "out": layer(params["kernel"], rest[0])}

    args = {"kernel": ARGS[0]}, (ARGS[1], None, 2)
    fast = fast_layers(function, ops.direct_convolution)
    assert_close(fast(*args), jax.jit(function)(*args))


def test_collectives_of_an_outer_axis_stay():
    def function(kernel, x):
        return layer(kernel, x) - lax.pmean(layer(kernel, x).mean(), "members")

    kernels = normal((3, 3, 3, 4, 4))
    lifted = partial(jax.vmap, in_axes=(0, None), axis_name="members")
    fast = fast_layers(function, ops.direct_convolution)
    assert_close(lifted(fast)(kernels, ARGS[1]), lifted(function)(kernels, ARGS[1]))


def test_members_may_be_on_devices():
    mesh = jax.make_mesh((4,), ("members",), axis_types=(AxisType.Auto,))
    kernels = normal((8, 3, 3, 4, 4))

    def gradient(f):
        of_member = jax.grad(lambda kernel: (nn.elu(f(kernel, ARGS[1])) ** 2).sum())
        return jax.jit(
            jax.shard_map(
                jax.vmap(of_member), mesh=mesh, in_specs=P("members"), out_specs=P("members")
            )
        )

    def function(kernel, x):
        return nn.elu(layer(kernel, x))

    recorder = Recorder()
    assert_close(gradient(fast_layers(function, recorder))(kernels), gradient(function)(kernels))
    assert len(recorder.shapes) == 1


def test_elu_is_replaced():
    function, x = nn.elu, normal((3, 4))
    fast = fast_layers(function, ops.direct_convolution)
    np.testing.assert_allclose(fast(x), function(x), atol=1e-7)
    np.testing.assert_allclose(
        jax.grad(lambda x: fast(x).sum())(x), jax.grad(lambda x: function(x).sum())(x), rtol=1e-6
    )
    assert "expm1" not in primitives_of(fast, x)


def test_what_is_not_elu_is_left_alone():
    @jax.jit
    def elu(x):
        return jnp.expm1(x)

    x = normal((3, 4))
    for function in (elu, partial(nn.elu, alpha=2.0), nn.selu):
        fast = fast_layers(function, ops.direct_convolution)
        assert "expm1" in primitives_of(fast, x)
        np.testing.assert_array_equal(fast(x), function(x))


def test_random_numbers_are_the_same():
    def function(key, x):
        key, other = jax.random.split(ops.fast_key(key))
        return layer(ARGS[0], x), jax.random.normal(key, (3,)), jax.random.key_data(other)

    fast = fast_layers(function, ops.direct_convolution)
    assert_close(fast(KEY, ARGS[1]), function(KEY, ARGS[1]))


@settings(max_examples=8, deadline=None)
@given(
    st.tuples(st.integers(3, 9), st.integers(3, 9)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.data(),
)
def test_convolutions_of_any_shape(image, window, strides, data):
    """With less padding than the window: with more, XLA's gradients read what is not theirs.

    So on CPU in JAX 0.10: the convolution that is the gradient has negative padding.
    """
    sides = [st.integers(0, size - 1) for size in window]
    padding = data.draw(st.tuples(*[st.tuples(side, side) for side in sides]))
    inputs, kernel = normal((2, *image, 2)), normal((*window, 2, 3), 1)
    function = partial(
        lax.conv_general_dilated,
        window_strides=strides,
        padding=padding,
        dimension_numbers=DIMENSIONS,
    )
    if 0 not in jax.eval_shape(function, inputs, kernel).shape:
        assert_same(function, inputs, kernel)


def test_negative_padding_crops():
    """As JAX 0.10 on CPU may not: see above."""
    function, inputs, kernel = convolution(padding=((-1, 0), (1, -2)))
    whole, *_ = convolution(padding=((0, 0), (1, 0)))
    outputs = fast_layers(function, ops.direct_convolution)(inputs, kernel)
    assert_close(outputs, whole(inputs[:, 1:, :-2], kernel))
