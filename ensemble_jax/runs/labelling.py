"""A run as an xarray Dataset; the only module that imports xarray."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray

from ensemble_jax.runs.arrays import RunArrays
from ensemble_jax.runs.examples import TRAIN


def make_dataset(run: RunArrays, extents: tuple[int, ...]) -> xarray.Dataset:
    """Label the arrays of some extents of a run; see `Run.to_xarray` for what it contains."""
    rows = [run.extents.index(extent) for extent in extents]
    # netCDF 3, which SciPy writes, has no unsigned numbers.
    classes = np.min_scalar_type(-run.num_classes)
    coords = {"extent": np.array(extents, int), "member": run.members}
    coords |= {name: ("member", _writable(values)) for name, values in run.hyperparameters.items()}
    variables: dict[str, Any] = {
        "train_images_per_second": ("extent", run.train_images_per_second[rows])
    }
    for split in run.splits:
        example = f"example_{split}"
        coords |= {example: _ids(run, split), f"label_{split}": (example, run.labels[split])}
        variables |= {
            f"correct_{split}": (("extent", "member", example), run.correct(split, extents)),
            f"predictions_{split}": (
                ("extent", "member", example),
                run.predictions(split, extents).astype(classes),
            ),
            f"loss_{split}": (("extent", "member"), run.metrics[f"{split}_loss"][rows]),
            f"accuracy_{split}": (("extent", "member"), run.metrics[f"{split}_accuracy"][rows]),
        }
    for name, quantities in run.recorded_quantities.items():
        for quantity in quantities:
            values = run.recorded(quantity, name, extents).astype(np.float32)
            dimensions = ("extent", "member", f"example_{name}", "class")[: values.ndim]
            variables[f"recorded_{quantity}_{name}"] = (dimensions, values)
            if "class" in dimensions:
                coords["class"] = np.array(run.class_names)
    for probe in run.probes:
        example = f"example_{probe}"
        coords |= {example: _ids(run, probe)}
        variables |= {
            f"predictions_{probe}": (
                ("extent", "member", example),
                run.predictions(probe, extents).astype(classes),
            )
        }
    of_train = ("member", f"example_{TRAIN}")
    variables["train_mask"] = (of_train, run.train_mask)
    variables["train_labels"] = (of_train, run.train_labels)
    for split in run.splits:
        truth = run.true_labels(split)
        if truth is not None:
            coords[f"true_label_{split}"] = (f"example_{split}", truth)
    coords["class"] = np.array(run.class_names)
    attributes = {
        "data": run.manifest.data.name,
        "protocol": run.manifest.protocol,
        "diverged_members": list(run.diverged),
        "diverged_epochs": list(run.diverged.values()),
    }
    return xarray.Dataset(variables, coords, attributes)


def _ids(run: RunArrays, name: str) -> np.ndarray:
    """Ids as texts where they are integers that netCDF 3 does not have."""
    ids = run.ids[name]
    return ids if _writable(ids) is ids else ids.astype(str)


def _writable(values: np.ndarray) -> np.ndarray:
    """Integers of more than 31 bits, such as seeds, as floats: netCDF 3 has no others."""
    limits = np.iinfo(np.int32)
    fits = (
        values.dtype.kind not in "iu"
        or not len(values)
        or (values.min() >= limits.min and values.max() <= limits.max)
    )
    return values if fits else values.astype(np.float64)
