"""What is written for one extent: what every member predicts for every example."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ensemble_jax.extent import ExtentRecord, ProbeRecord, SplitRecord
from ensemble_jax.options import Quantity
from ensemble_jax.runs.files import read_npz
from ensemble_jax.runs.manifest import Manifest

_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
# The arrays that there are of every split.
_OF_SPLIT = ("bits", "predictions", "loss", "accuracy")

_IDENTITY = "identity"


class _Spec(NamedTuple):
    """What an array of a record must be."""

    shape: tuple[int, ...]
    dtype: np.dtype


def array_specs(manifest: Manifest) -> dict[str, _Spec]:
    """The names, shapes and types of a record's arrays."""
    data, N, K = manifest.data, manifest.num_members, manifest.data.num_classes
    classes = np.min_scalar_type(K - 1)
    specs = {}
    for split, M in data.split_sizes.items():
        specs[f"bits_{split}"] = _Spec((N, -(-M // 8)), np.dtype(np.uint8))
        specs[f"predictions_{split}"] = _Spec((N, M), classes)
        specs[f"loss_{split}"] = _Spec((N,), np.dtype(np.float32))
        specs[f"accuracy_{split}"] = _Spec((N,), np.dtype(np.float32))
    for probe, M in data.probe_sizes.items():
        specs[f"predictions_{probe}"] = _Spec((N, M), classes)
    for name, quantities in manifest.recorded.items():
        for quantity in map(Quantity, quantities):
            shape = (N, data.sizes[name], *([K] if quantity.of_classes else []))
            specs[recorded_array(quantity.value, name)] = _Spec(shape, np.dtype(np.float16))
    specs["diverged_at"] = _Spec((N,), np.dtype(np.int32))
    specs["train_images_per_second"] = _Spec((), np.dtype(np.float64))
    return specs


def identity(manifest: Manifest, extent: int) -> str:
    """What the record of an extent says of itself: whose it is, and of which extent."""
    return f"run {manifest.run_id} extent {extent}"


def recorded_array(quantity: str, name: str) -> str:
    """What the array of a quantity of every example of a split or probe is called in a record."""
    return f"recorded_{quantity}_{name}"


def extent_bytes(manifest: Manifest) -> int:
    """The bytes of the arrays that each extent of a run writes.

    For N members and K classes, of which a predicted one takes `c` bytes (1 up to K = 256), each
    split of M examples takes `N (ceil(M / 8) + c M + 8)`, each probe `N c M`, each quantity of a
    split or probe that is recorded `2 N M`, or `2 N M K` if it is one of every class, and the whole
    `4 N + 8`. The file is larger by less than 500 bytes for each array.
    """
    return sum(
        math.prod(spec.shape) * spec.dtype.itemsize for spec in array_specs(manifest).values()
    )


def describe_records(manifest: Manifest) -> str:
    """What each extent of a run records, and how much that is, in a line."""
    sets: dict[str, list[str]] = {}
    for name, quantities in manifest.recorded.items():
        sets.setdefault(", ".join(quantities), []).append(name)
    further = [f"{quantities} of {', '.join(names)}" for quantities, names in sets.items()]
    size = extent_bytes(manifest)
    return (
        f"{_written_size(size)} an extent, {_written_size(size * len(manifest.extents))} in all: "
        f"{'; '.join(['correctness and predicted classes', *further])}"
    )


def _written_size(num_bytes: int) -> str:
    """A number of bytes as text.

    >>> [_written_size(n) for n in (912, 43_210_000, 2_500_000_000)]
    ['0.9 kB', '43.2 MB', '2.5 GB']
    """
    unit, name = next(u for u in _UNITS if num_bytes >= u[0] or u is _UNITS[-1])
    return f"{num_bytes / unit:.1f} {name}"


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
        for quantity in _OF_SPLIT
    }
    arrays |= {
        f"predictions_{probe}": record.probes[probe].predictions for probe in data.probe_sizes
    }
    for name, of_set in {**record.splits, **record.probes}.items():
        wanted = manifest.recorded.get(name, ())
        if set(of_set.recorded) != set(wanted):
            raise ValueError(
                f"{where}: recorded of {name} must be {_listed(wanted)}, "
                f"got {_listed(of_set.recorded)}"
            )
        arrays |= {recorded_array(q, name): of_set.recorded[q] for q in wanted}
    arrays |= {
        "diverged_at": record.diverged_at,
        "train_images_per_second": record.train_images_per_second,
    }
    specs = array_specs(manifest)
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
    specs = array_specs(manifest)
    if manifest.run_id:
        *arrays, found = read_npz(path, [*names, _IDENTITY])
        if str(found) != identity(manifest, extent):
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
        if name.startswith("predictions_") and array.max() >= manifest.data.num_classes:
            raise ValueError(
                f"{path} does not belong to its run: {name} must lie in "
                f"0..{manifest.data.num_classes - 1}, got {array.max()}"
            )
    return tuple(arrays)


def assemble_record(
    extent: int, manifest: Manifest, read: Callable[[str], np.ndarray]
) -> ExtentRecord:
    """A whole record, of what `read` gives for the name of an array."""

    def recorded(name):
        quantities = manifest.recorded.get(name, ())
        return {quantity: read(recorded_array(quantity, name)) for quantity in quantities}

    splits = {
        split: SplitRecord(
            **{array: read(f"{array}_{split}") for array in _OF_SPLIT}, recorded=recorded(split)
        )
        for split in manifest.data.split_sizes
    }
    probes = {
        probe: ProbeRecord(read(f"predictions_{probe}"), recorded(probe))
        for probe in manifest.data.probe_sizes
    }
    speed = float(read("train_images_per_second"))
    return ExtentRecord(extent, splits, read("diverged_at"), speed, probes)


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
