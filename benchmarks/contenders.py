"""The ways to train N networks that are compared, by name, behind one interface.

Making a contender imports its framework, so only workers do that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from benchmarks.contender import Contender, UnavailableError
from benchmarks.workloads import Task
from ensemble_jax.options import Precision
from ensemble_jax.plan import parse_plan_request


def _ensemble_jax(task: Task) -> Contender:
    from benchmarks.collection import Collection

    return Collection(task, task.num_members)


def _one_member(task: Task) -> Contender:
    from benchmarks.collection import Collection

    return Collection(task, 1)


def _python_loop(task: Task) -> Contender:
    from benchmarks.jax_loops import PythonLoop

    return PythonLoop(task.workload)


def _lax_map(task: Task) -> Contender:
    from benchmarks.jax_loops import CompiledLoop, one_by_one

    workload = task.workload
    members = min(workload.lax_map_members or workload.num_members, workload.num_members)
    return CompiledLoop(workload, members, one_by_one)


def _vmap_of_scan(task: Task) -> Contender:
    from benchmarks.jax_loops import CompiledLoop, at_once

    return CompiledLoop(task.workload, task.num_members, at_once)


def _processes(task: Task) -> Contender:
    from benchmarks.processes import Processes

    return Processes(task)


def _torch_loop(task: Task) -> Contender:
    _check_torch()
    from benchmarks.torch_loops import TorchLoop

    return TorchLoop(task.workload, channels_last=False)


def _torch_loop_channels_last(task: Task) -> Contender:
    _check_torch()
    if not task.workload.has_images:
        raise UnavailableError("without convolutions there are no memory formats")
    from benchmarks.torch_loops import TorchLoop

    return TorchLoop(task.workload, channels_last=True)


def _torch_func(task: Task) -> Contender:
    _check_torch()
    from benchmarks.torch_loops import TorchFunc

    return TorchFunc(task.workload)


def _plain(library: str, task: Task) -> Contender:
    from benchmarks.collection import Collection
    from benchmarks.plain_networks import plain_network

    return Collection(task, task.num_members, plain_network(task.workload, library))


def _matrix_product(task: Task) -> Contender:
    from benchmarks.matrix_product import MatrixProduct

    forced = parse_plan_request(task.plan).forced
    return MatrixProduct(forced.get("precision", Precision.FLOAT32))


def _check_torch() -> None:
    if find_spec("torch") is None:
        raise UnavailableError("PyTorch is not installed (pip install torch)")


PROJECT = "ensemble_jax"
MATRIX_PRODUCT = "matrix_product"

CONTENDERS: dict[str, tuple[str, Callable[[Task], Contender]]] = {
    PROJECT: ("ensemble_jax", _ensemble_jax),
    "one_member": ("ensemble_jax with N = 1", _one_member),
    "python_loop": ("Python loop over a jitted step", _python_loop),
    "lax_map": ("lax.map of a compiled epoch", _lax_map),
    "vmap_of_scan": ("naive jit(vmap(scan))", _vmap_of_scan),
    "processes": ("a process of the Python loop per core", _processes),
    "torch_loop": ("PyTorch loop", _torch_loop),
    "torch_loop_channels_last": ("PyTorch loop, channels-last", _torch_loop_channels_last),
    "torch_func": ("torch.func", _torch_func),
}
"""Title and maker of each, by the name that a user gives."""

PLAIN: dict[str, tuple[str, Callable[[Task], Contender]]] = {
    "plain_linen": ("ensemble_jax with plain flax.linen", partial(_plain, "linen")),
    "plain_nnx": ("ensemble_jax with plain flax.nnx", partial(_plain, "nnx")),
}
"""This project with the network as anybody writes it."""

_ALL = CONTENDERS | PLAIN | {MATRIX_PRODUCT: ("matrix product", _matrix_product)}


def contender_title(name: str) -> str:
    """What a contender is called in tables and figures."""
    return _ALL[name][0]


def make_contender(task: Task) -> Contender:
    """Import a contender's framework and put the data into memory.

    Raises:
        UnavailableError: if it cannot take part here.
    """
    return _ALL[task.contender][1](task)
