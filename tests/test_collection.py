from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ensemble_jax.collection import Placement, place
from ensemble_jax.options import ConvolutionAlgorithm
from ensemble_jax.plan import Plan


def make_placement(num_members: int, members_per_call: int = 0, devices: int = 4) -> Placement:
    return Placement(num_members, members_per_call, tuple(jax.devices()[:devices]))


@pytest.mark.parametrize(
    ("num_members", "devices", "held"), [(1, 1, 1), (4, 4, 1), (5, 4, 2), (8, 4, 2), (9, 4, 3)]
)
def test_members_per_device(num_members, devices, held):
    assert make_placement(num_members, devices=devices).members_per_device == held


@pytest.mark.parametrize("num_members", [1, 3, 4, 6, 8])
def test_gather_undoes_spread(num_members):
    placement = make_placement(num_members)
    tree = {
        "a": np.arange(num_members),
        "b": np.random.default_rng(0).normal(size=(num_members, 2)),
    }
    tree["b"] = tree["b"].astype(np.float32)
    spread = placement.spread(tree)
    jax.tree.map(np.testing.assert_array_equal, placement.gather(spread), tree)
    # Each device has its own members only; padding repeats the last.
    parts = [np.asarray(shard.data) for shard in spread["a"].addressable_shards]
    held = placement.members_per_device
    assert [len(part) for part in parts] == [held] * 4
    expected = np.minimum(np.arange(4 * held), num_members - 1)
    np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_shared_arrays_are_whole_on_every_device():
    shared = make_placement(4).share(np.arange(3))
    assert [shard.data.tolist() for shard in shared.addressable_shards] == [[0, 1, 2]] * 4


def test_what_is_gathered_is_not_the_devices_memory():
    placement = make_placement(2, devices=1)
    step = placement.lift(lambda x: (x + 1,), donate=(0,))
    state = placement.spread(np.zeros((2, 1000), np.float32))
    gathered = placement.gather(state)
    assert gathered.flags.owndata
    assert gathered.flags.writeable
    for _ in range(3):
        (state,) = step(state)
    assert not gathered.any()


@pytest.mark.bits
@pytest.mark.parametrize("members_per_call", [0, 1, 2, 3, 5, 7])
@pytest.mark.parametrize("devices", [1, 2, 4])
def test_lifted_functions_are_loops_over_members(members_per_call, devices):
    placement = make_placement(7, members_per_call, devices)
    members = {"x": np.arange(14, dtype=np.float32).reshape(7, 2), "id": np.arange(7)}
    matrix = np.float32([[1, 2], [3, 4]])

    def function(member, matrix, offset):
        assert member["x"].shape == (2,)
        return {"y": matrix @ member["x"] + offset, "id": member["id"]}

    lifted = placement.lift(function, shared=(1,))
    offsets = np.arange(7, dtype=np.float32)
    results = placement.gather(
        lifted(placement.spread(members), placement.share(matrix), placement.spread(offsets))
    )
    expected = members["x"] @ matrix.T + offsets[:, None]
    np.testing.assert_array_equal(results["y"], expected)
    np.testing.assert_array_equal(results["id"], np.arange(7))


@pytest.mark.bits
@pytest.mark.parametrize("members_per_call", [0, 1, 2, 7])
@pytest.mark.parametrize("devices", [1, 2])
def test_first_results_replace_what_is_donated(members_per_call, devices):
    placement = make_placement(7, members_per_call, devices)
    state = {"x": np.arange(14, dtype=np.float32).reshape(7, 2), "n": np.arange(7)}
    offsets = np.arange(7, dtype=np.float32)

    def function(offset, state, scale):
        new = {"x": scale * state["x"] + offset, "n": state["n"] + 1}
        return new, {"sum": state["x"].sum(), "offset": offset}

    lifted = placement.lift(function, shared=(2,), donate=(1,))
    placed = placement.spread(state)
    results = lifted(placement.spread(offsets), placed, placement.share(np.float32(3)))
    assert placed["x"].is_deleted()
    new, others = placement.gather(results)
    np.testing.assert_array_equal(new["x"], 3 * state["x"] + offsets[:, None])
    np.testing.assert_array_equal(new["n"], state["n"] + 1)
    np.testing.assert_array_equal(others["sum"], state["x"].sum(1))
    np.testing.assert_array_equal(others["offset"], offsets)


@pytest.mark.bits
@pytest.mark.parametrize("members_per_call", [1, 4])
def test_memory_beside_a_state_is_that_of_a_call(members_per_call):
    """However many members there are, and none of them twice."""

    def step(state):
        return jnp.tanh(state @ state), state.sum()

    temporaries = []
    for num_members in (8, 64):
        placement = make_placement(num_members, members_per_call, devices=1)
        lifted = placement.lift(step, donate=(0,))
        shape = jax.ShapeDtypeStruct((num_members, 64, 64), np.float32)
        memory = lifted.lower(shape).compile().memory_analysis()
        temporaries.append(memory.temp_size_in_bytes)
        assert memory.alias_size_in_bytes == num_members * 64 * 64 * 4
    assert temporaries[1] < temporaries[0] + 1000
    assert temporaries[1] < 4 * members_per_call * 64 * 64 * 4


@pytest.mark.parametrize(("members_per_call", "at_once"), [(0, 3), (1, 1), (2, 2), (3, 3), (4, 3)])
def test_members_at_once(members_per_call, at_once):
    """What runs together is what the program multiplies together."""
    placement = make_placement(6, members_per_call, devices=2)
    lifted = placement.lift(lambda x: jnp.sin(x) @ jnp.cos(x))
    program = lifted.lower(jnp.ones((2 * placement.members_per_device, 5, 5))).as_text()
    product = f"tensor<{at_once}x5x5xf32>" if at_once > 1 else "tensor<5x5xf32>"
    assert any(
        f"-> {product}" in line for line in program.splitlines() if "stablehlo.dot_general" in line
    )


@pytest.mark.bits
@pytest.mark.parametrize("donate", [(), (0,)])
@pytest.mark.parametrize(("members_per_call", "devices"), [(1, 1), (1, 4), (3, 1), (3, 2)])
def test_no_compiler_knows_how_many_calls_there_are(members_per_call, devices, donate):
    """The loop ends at an argument, and nothing that it reads has a single entry, or one call's.

    So a call is the same to the compiler however many there are.
    """
    bodies = set()
    for calls in (1, 2, 5):
        number = calls * members_per_call * devices
        placement = make_placement(number, members_per_call, devices)
        lifted = placement.lift(lambda x: (jnp.sin(x) @ x,), donate=donate)
        shape = (devices * placement.members_per_device, 5, 5)
        lowered = lifted.lower(jax.ShapeDtypeStruct(shape, np.float32))
        assert placement.members_per_device > members_per_call
        text = lowered.compile().as_text()
        assert " while(" in text
        assert "known_trip_count" not in text
        [count] = [leaf for leaf in jax.tree.leaves(lowered.args_info) if leaf.dtype == np.int32]
        assert count.shape == (devices,)
        # All that differs between the programs is how many members there are.
        held = placement.members_per_device
        text = lowered.as_text()
        for members in (held, devices * held):
            text = re.sub(rf"<{members}x(?=5x5xf32)", "<Nx", text)
        bodies.add(re.sub(rf"dense<{held}> : tensor<i32>", "dense<N> : tensor<i32>", text))
    assert len(bodies) == 1


@pytest.mark.parametrize("members_per_call", [1, 3])
def test_a_lifted_function_is_used_as_a_compiled_one(members_per_call):
    placement = make_placement(members_per_call, members_per_call, devices=1)
    lifted = placement.lift(lambda x: {"sin": jnp.sin(x), "sum": x.sum()})
    values = np.arange(3 * members_per_call, dtype=np.float32).reshape(-1, 3)
    lowered = lifted.lower(placement.spread(values))
    compiled = lowered.compile()
    assert lowered.out_info["sum"].shape == (members_per_call + 1,)
    assert compiled.memory_analysis().argument_size_in_bytes == 4 * (1 + 3 * (members_per_call + 1))
    for function in (lifted, compiled):
        results = placement.gather(function(placement.spread(values)))
        np.testing.assert_allclose(results["sin"], np.sin(values), rtol=1e-6)
        np.testing.assert_array_equal(results["sum"], values.sum(1))


@pytest.mark.parametrize(("num_members", "members_per_call"), [(3, 1), (5, 2), (5, 0), (9, 4)])
def test_what_was_joined_on_the_host_is_gathered_alike(num_members, members_per_call):
    placement = make_placement(num_members, members_per_call)
    values = np.arange(2 * num_members).reshape(num_members, 2)
    joined = np.asarray(placement.spread(values))
    gathered = placement.gather(joined)
    np.testing.assert_array_equal(gathered, values)
    assert not np.shares_memory(gathered, joined)


def test_shapes_on_the_host():
    placement = make_placement(6)
    lifted = placement.lift(lambda x: (x, x.sum()))
    shapes = placement.host_shapes(lifted.lower(np.zeros((8, 3), np.float32)).out_info)
    assert [(s.shape, s.dtype) for s in shapes] == [((6, 3), np.float32), ((6,), np.float32)]


def test_place_uses_the_first_devices():
    plan = Plan(3, 2, ConvolutionAlgorithm.XLA, microbatches=1)
    assert place(plan, 9, jax.devices()) == make_placement(9, 2, devices=3)
    message = r"^num_devices of the plan must be at most 2, the devices of this process, got 3$"
    with pytest.raises(ValueError, match=message):
        place(plan, 9, jax.devices()[:2])


@pytest.mark.parametrize(
    ("num_members", "members_per_call", "devices", "calls", "held"),
    [
        *[(7, 3, 1, 3, 9), (7, 3, 2, 2, 6), (6, 3, 1, 2, 6), (7, 1, 1, 7, 7), (7, 1, 2, 4, 4)],
        # One call only: there is room for a member more than it computes.
        *[(7, 4, 2, 1, 5), (7, 9, 2, 1, 5), (7, 2, 4, 1, 3), (1, 1, 1, 1, 2), (3, 1, 4, 1, 2)],
        (1, 0, 1, 1, 1),
    ],
)
def test_calls_are_of_equal_size(num_members, members_per_call, devices, calls, held):
    placement = make_placement(num_members, members_per_call, devices)
    assert (placement.calls_per_device, placement.members_per_device) == (calls, held)


@pytest.mark.parametrize(
    ("num_members", "members_per_call", "devices", "calls"),
    [
        (7, 1, 4, [2, 2, 2, 1]),
        (5, 1, 4, [2, 2, 1, 0]),
        (1, 1, 2, [1, 0]),
        (9, 2, 2, [3, 2]),
        (7, 3, 2, [2, 1]),
        (13, 2, 4, [2, 2, 2, 1]),
    ],
)
def test_no_call_is_of_copies_alone(num_members, members_per_call, devices, calls):
    """What a device does not call is left as it was, or zero."""
    placement = make_placement(num_members, members_per_call, devices)
    step = placement.lift(lambda x: (x + 1, x - 1), donate=(0,))
    done = step(placement.spread(np.full(num_members, 5)))
    rounds = calls_of_devices(placement)
    for array, computed, left in zip(done, (6, 4), (5, 0), strict=True):
        for shard, number in zip(array.addressable_shards, rounds, strict=True):
            expected = np.full(placement.members_per_device, left)
            expected[: number * placement.members_at_once] = computed
            np.testing.assert_array_equal(shard.data, expected)
    assert rounds == calls


def calls_of_devices(placement) -> list[int]:
    """How often each device computes, counted by what it does."""
    count = placement.lift(lambda x: x + 1)(placement.spread(np.zeros(placement.num_members)))
    computed = np.asarray(count).reshape(len(placement.devices), -1).sum(axis=1)
    return (computed / placement.members_at_once).astype(int).tolist()


@pytest.mark.bits
@pytest.mark.parametrize("members_per_call", [1, 3])
def test_no_member_depends_on_its_place_or_on_the_number_of_members(members_per_call):
    """One size of call is one program: bit for bit, whoever is computed beside it."""
    rng = np.random.default_rng(0)
    matrices = rng.normal(size=(11, 17, 17)).astype(np.float32)

    def products(members):
        placement = make_placement(len(members), members_per_call, devices=1)
        lifted = placement.lift(lambda x: jnp.linalg.matrix_power(jnp.tanh(x), 5))
        return placement.gather(lifted(placement.spread(matrices[members])))

    every = products(np.arange(11))
    for members in ([0, 1, 2, 3], [10, 4, 7], [9, 8, 7, 6, 5], [3, 2, 1][:members_per_call]):
        np.testing.assert_array_equal(products(members), every[members])


def test_impossible_placements_are_refused():
    with pytest.raises(ValueError, match=r"^num_members must be at least 1, got 0$"):
        make_placement(0)
    message = r"^members_per_call must be 0 \(all\) or positive, got -1$"
    with pytest.raises(ValueError, match=message):
        make_placement(1, -1)
