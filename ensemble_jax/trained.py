"""The trained members of a run: their parameters, and what they say of further examples."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import Float, Num

from ensemble_jax.networks import (
    Network,
    Variables,
    as_network,
    prepared,
    rounding_products,
    variable_shapes,
)
from ensemble_jax.numerics import own_jax_options
from ensemble_jax.options import (
    Activation,
    ArchitectureOptions,
    ImageForm,
    Initialiser,
    Model,
    Precision,
)
from ensemble_jax.training.checkpoints import Checkpoints, by_name, nested
from ensemble_jax.zoo import make_architecture
from ensemble_jax.zoo.architecture import Architecture

if TYPE_CHECKING:
    from ensemble_jax.runs import Run
    from ensemble_jax.runs.parts import Part

_BATCH_SIZE = 500
_SAFETENSORS = ".safetensors"


def variables_of(run: Run) -> Variables:
    """Parameters and state of the run's members at the last checkpoint, `[N, ...]` on the host.

    As nested dictionaries by name; members are those of `run.members`.

    Raises:
        ValueError: if there is no checkpoint that can be read.
    """
    by_part = [_variables_of_part(part) for part in run.parts]
    stored = [member for part in run.parts for member in part.manifest.members]
    rows = np.array([stored.index(member) for member in run.members.tolist()], int)
    return jax.tree.map(lambda *parts: np.concatenate(parts)[rows], *by_part)


def params_of(run: Run, member: int | None) -> Any:
    """The parameters of all members of a run, or of one; see `Run.params`."""
    params = variables_of(run).params
    if member is None:
        return params
    (row,) = _rows(run, [member])
    return jax.tree.map(lambda x: x[row], params)


def export(run: Run, member: int, path: str | os.PathLike) -> None:
    """Write the parameters and the state of one member; see `Run.export`."""
    path = Path(path)
    if os.path.lexists(path):
        raise ValueError(f"path {path} already exists: choose another")
    as_file = path.suffix == _SAFETENSORS
    if as_file and importlib.util.find_spec("safetensors") is None:
        raise ModuleNotFoundError(f"{path.name} needs safetensors: pip install safetensors")
    tree = _exported(run, member)
    path.parent.mkdir(parents=True, exist_ok=True)
    if as_file:
        from safetensors.numpy import save

        about = {"network": str(run.config.get("network", run.model)), "member": str(member)}
        path.write_bytes(save(by_name(tree), about))
    else:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(path.absolute(), tree)


def _exported(run: Run, member: int) -> dict[str, Any]:
    """What is written of a member."""
    (row,) = _rows(run, [member])
    variables = variables_of(run)
    tree = {"params": variables.params, "state": variables.state}
    own = jax.tree.map(lambda x: np.ascontiguousarray(x[row]), tree)
    normalisation = {k: np.array(v, np.float32) for k, v in _normalisation(run).items()}
    return {**{k: v for k, v in own.items() if v}, "normalisation": normalisation}


def _normalisation(run: Run) -> Mapping[str, Any]:
    """How inputs are normalised.

    Raises:
        ValueError: if an old run does not say it.
    """
    if not run.manifest.normalisation:
        raise ValueError(
            f"{run.directory} is of an older version, which did not record how inputs are "
            f"normalised: train it again"
        )
    return run.manifest.normalisation


def _variables_of_part(part: Part) -> Variables:
    if not part.checkpoints.is_dir():
        raise ValueError(f"{part.directory} has no checkpoint, from which members could be taken")
    checkpoints = Checkpoints(part.checkpoints, part.manifest.run_id)
    try:
        latest = checkpoints.read_latest()
    finally:
        checkpoints.close()
    if latest is None:
        raise ValueError(f"{part.directory} has no checkpoint that can be read")
    variables = nested(latest).get("variables", {})
    return Variables(variables.get("params", {}), variables.get("state", {}))


@own_jax_options()
def predict(
    run: Run,
    inputs: Num[np.ndarray, "M ..."],
    *,
    network: Any = None,
    members: Sequence[int] | None = None,
    probabilities: bool = False,
) -> Float[np.ndarray, "N M K"]:
    """The outputs of the members for further examples, by their last checkpoint.

    Args:
        run: the run.
        inputs: `[M, ...]`, raw, like the training examples; they are normalised in the same way.
        network: what was trained. Needed for one's own network where the run was loaded from disk.
        members: the ids of those that are asked; all by default.
        probabilities: the softmax of the outputs instead.

    Raises:
        ValueError: if a network must be given, the examples have another shape, or there is no such
            member or no checkpoint.
    """
    one = _network_of(run, network)
    inputs = np.asarray(inputs)
    expected = tuple(run.manifest.data.input_shape)
    if inputs.shape[1:] != expected:
        raise ValueError(f"inputs must be [M, {str(list(expected))[1:]}, got {list(inputs.shape)}")
    rows = _rows(run, members)
    stored = variables_of(run)
    shapes = variable_shapes(one, jax.ShapeDtypeStruct((1, *expected), inputs.dtype))
    named, wanted = by_name(stored), by_name(shapes)
    if {k: x.shape[1:] for k, x in named.items()} != {k: x.shape for k, x in wanted.items()}:
        raise ValueError(f"network must be the one that {run.directory} was trained with")
    # The network may keep its variables in types of its own.
    leaves = [named[name] for name in wanted]
    stored = jax.tree.unflatten(jax.tree.structure(shapes), leaves)

    @jax.jit
    def of_member(variables, batch):
        outputs, _ = one.apply(variables, batch, key=None, train=False)
        return jax.nn.softmax(outputs) if probabilities else outputs

    def of_row(row):
        variables = jax.tree.map(lambda x: jnp.asarray(x[row]), stored)
        return np.concatenate([of_member(variables, batch) for batch in _batches(inputs)])

    return np.stack([of_row(row) for row in rows])


def _batches(inputs) -> Iterator[np.ndarray]:
    for start in range(0, len(inputs), _BATCH_SIZE):
        yield inputs[start : start + _BATCH_SIZE]


def _rows(run, members):
    known = run.members.tolist()
    wanted = known if members is None else list(members)
    for member in wanted:
        if member not in known:
            raise ValueError(f"members must be of {known}, got {member}")
    return [known.index(member) for member in wanted]


def _network_of(run: Run, network: Any) -> Network:
    """The network of one member, which takes examples as they are stored."""
    if network is None:
        network = run.network or _architecture_of(run)
    normalisation = _normalisation(run)
    precision = Precision(run.manifest.plan.get("precision", Precision.FLOAT32.value))
    mean, std = (np.array(normalisation[name], np.float32) for name in ("mean", "std"))
    network = prepared(as_network(network), mean=mean, std=std, precision=precision)
    return rounding_products(network, precision)


def _architecture_of(run: Run) -> Architecture:
    """The architecture that a run names in its config, with the options it had."""
    config = run.config
    name = config.get("model", config.get("network"))
    if name not in [model.value for model in Model]:
        raise ValueError(
            f"network must be given, since {run.directory} knows its own only as {name}"
        )
    if Model(name) is Model.BILSTM:
        raise ValueError("members of bilstm predict no further texts: their words have no numbers")
    kinds = {"activation": Activation, "initialiser": Initialiser, "form": ImageForm}
    options = {
        field.name: kinds.get(field.name, lambda value: value)(config[field.name])
        for field in dataclasses.fields(ArchitectureOptions)
        if config.get(field.name)
    }
    return make_architecture(
        Model(name),
        num_classes=run.num_classes,
        input_shape=tuple(run.manifest.data.input_shape),
        options=ArchitectureOptions(**options),
    )
