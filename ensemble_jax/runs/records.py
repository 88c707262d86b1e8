"""What is written for one extent: what every member predicts for every example."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ensemble_jax.extent import ExtentRecord, SplitRecord
from ensemble_jax.runs.files import read_npz
from ensemble_jax.runs.manifest import DataSummary, Manifest

_IDENTITY = "identity"


class _Spec(NamedTuple):
    """What an array of a record must be."""

    shape: tuple[int, ...]
    dtype: np.dtype


def array_specs(data: DataSummary, num_members: int) -> dict[str, _Spec]:
    """The names, shapes and types of a record's arrays."""
    N = num_members
    classes = np.min_scalar_type(data.num_classes - 1)
    specs = {}
    for split, M in data.split_sizes.items():
        specs[f"bits_{split}"] = _Spec((N, -(-M // 8)), np.dtype(np.uint8))
        specs[f"predictions_{split}"] = _Spec((N, M), classes)
        specs[f"loss_{split}"] = _Spec((N,), np.dtype(np.float32))
        specs[f"accuracy_{split}"] = _Spec((N,), np.dtype(np.float32))
    for probe, M in data.probe_sizes.items():
        specs[f"predictions_{probe}"] = _Spec((N, M), classes)
    specs["diverged_at"] = _Spec((N,), np.dtype(np.int32))
    specs["train_images_per_second"] = _Spec((), np.dtype(np.float64))
    return specs


def identity(manifest: Manifest, extent: int) -> str:
    """What the record of an extent says of itself: whose it is, and of which extent."""
    return f"run {manifest.run_id} extent {extent}"


def record_arrays(record: ExtentRecord, manifest: Manifest) -> dict[str, np.ndarray]:
    """The arrays of a record by the names they are written under, checked.

    Raises:
        ValueError: if the run did not ask for the extent, or a split, probe, shape, type or value
            is not what the manifest says.
    """
    where = f"record of extent {record.extent}"
    data = manifest.data
    if record.extent not in manifest.extents:
        raise ValueError(
            f"{where}: extent must be one of those asked for, {_listed(manifest.extents)}"
        )
    for kind, given, sizes in (
        ("splits", record.splits, data.split_sizes),
        ("probes", record.probes, data.probe_sizes),
    ):
        if set(given) != set(sizes):
            raise ValueError(f"{where}: {kind} must be {_listed(sizes)}, got {_listed(given)}")
    arrays = {
        f"{quantity}_{split}": getattr(record.splits[split], quantity)
        for split in data.split_sizes
        for quantity in SplitRecord._fields
    }
    arrays |= {f"predictions_{probe}": record.probes[probe] for probe in data.probe_sizes}
    arrays |= {
        "diverged_at": record.diverged_at,
        "train_images_per_second": record.train_images_per_second,
    }
    specs = array_specs(data, manifest.num_members)
    arrays = {
        name: _conformed(arrays[name], spec, f"{where}: {name}") for name, spec in specs.items()
    }
    for split, M in data.split_sizes.items():
        if (arrays[f"bits_{split}"][:, -1] & (0xFF >> ((M - 1) % 8 + 1))).any():
            raise ValueError(f"{where}: the bits of bits_{split} after its {M} examples must be 0")
    for name in data.sizes:
        largest = arrays[f"predictions_{name}"].max()
        if largest >= data.num_classes:
            raise ValueError(
                f"{where}: predictions_{name} must lie in 0..{data.num_classes - 1}, got {largest}"
            )
    if manifest.run_id:
        arrays[_IDENTITY] = np.array(identity(manifest, record.extent))
    return arrays


def read_arrays(
    path: Path, extent: int, names: Collection[str], manifest: Manifest
) -> tuple[np.ndarray, ...]:
    """Read some of a record's arrays and none of the others.

    Raises:
        ValueError: if the file is damaged, is of another run or extent, or an array is not what the
            manifest says.
    """
    specs = array_specs(manifest.data, manifest.num_members)
    if manifest.run_id:
        *arrays, found = read_npz(path, [*names, _IDENTITY])
        if found != np.array(identity(manifest, extent)):
            raise ValueError(
                f"{path} does not belong to its run: it must be of "
                f"{identity(manifest, extent)}, got {str(found)[:80]!r}"
            )
    else:
        arrays = read_npz(path, names)
    for name, array in zip(names, arrays, strict=True):
        if (array.shape, array.dtype) != specs[name]:
            raise ValueError(
                f"{path} does not belong to its run: {name} must be "
                f"{specs[name].dtype} {list(specs[name].shape)}, "
                f"got {array.dtype} {list(array.shape)}"
            )
    return tuple(arrays)


def read_record(path: Path, extent: int, manifest: Manifest) -> ExtentRecord:
    """Read a whole record.

    Raises:
        ValueError: if the file is damaged or an array is not what the manifest says.
    """
    names = array_specs(manifest.data, manifest.num_members)
    arrays = dict(zip(names, read_arrays(path, extent, names, manifest), strict=True))
    splits = {
        split: SplitRecord(*(arrays[f"{quantity}_{split}"] for quantity in SplitRecord._fields))
        for split in manifest.data.split_sizes
    }
    return ExtentRecord(
        extent,
        splits,
        arrays["diverged_at"],
        float(arrays["train_images_per_second"]),
        {probe: arrays[f"predictions_{probe}"] for probe in manifest.data.probe_sizes},
    )


def _conformed(value: object, spec: _Spec, what: str) -> np.ndarray:
    array = np.asarray(value)
    # Floats and signed integers may come wider than they are written; bitmaps and classes not.
    same_kind = array.dtype.kind == spec.dtype.kind and spec.dtype.kind != "u"
    if array.shape != spec.shape or not (array.dtype == spec.dtype or same_kind):
        raise ValueError(
            f"{what} must be {spec.dtype} {list(spec.shape)}, got {array.dtype} {list(array.shape)}"
        )
    return array.astype(spec.dtype, copy=False)


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(str, names)) or "none"
