"""A small collection of made-up members whose predictions are reproducible one by one."""

from collections.abc import Sequence
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

from ensemble_jax.extent import ExtentRecord, ProbeRecord, SplitRecord
from ensemble_jax.options import Quantity
from ensemble_jax.runs import (
    DataSummary,
    Manifest,
    RunWriter,
    pack_correct,
)

SIZES = {"train": 13, "test": 8}
CLASSES = ("fox", "skunk", "possum")


def make_class_names(num_classes):
    return [*CLASSES[:num_classes], *map(str, range(3, num_classes))]


def make_splits(sizes=SIZES, num_classes=3):
    rng = np.random.default_rng(0)
    return {
        split: SimpleNamespace(
            labels=rng.integers(num_classes, size=size),
            ids=np.arange(size) * 7
            if split == "train"
            else np.array([f"é{i}" for i in range(size)]),
        )
        for split, size in sizes.items()
    }


def make_probes(sizes):
    return {
        probe: SimpleNamespace(ids=np.array([f"{probe} {i}" for i in range(size)]))
        for probe, size in sizes.items()
    }


def make_manifest(
    members: Sequence[int] = (0, 1, 2, 3),
    extents: Sequence[int] = (0, 1, 5),
    sizes=SIZES,
    num_classes=3,
    probe_sizes=MappingProxyType({}),
    **changes,
) -> Manifest:
    content = {
        "config": {"members": [*members], "optimizer": {"learning_rate": 0.05}, "widths": [32, 64]},
        "data": DataSummary(
            "animals", make_class_names(num_classes), dict(sizes), [4, 4, 3], dict(probe_sizes)
        ),
        "members": [*members],
        "extents": [*extents],
        "hyperparameters": {"learning_rate": [0.1 * member for member in members]},
        "plan": {"members_per_call": 2, "precision": "float32"},
        "devices": ["cpu:0"],
        "run_id": "toy",
    }
    return Manifest(**content | changes)


def make_record(manifest: Manifest, extent: int, diverged=()) -> ExtentRecord:
    """What member i predicts depends on i, the extent and the split or probe only."""
    predictions = _make_predictions(manifest, extent)
    splits = {}
    examples = make_splits(manifest.data.split_sizes, manifest.data.num_classes)
    for split in manifest.data.split_sizes:
        correct = predictions[split] == examples[split].labels
        loss = np.array([m + extent / 8 for m in manifest.members], np.float32)
        loss[np.isin(manifest.members, diverged)] = np.nan
        accuracy = correct.mean(1, dtype=np.float32)
        recorded = _make_recorded(manifest, extent, split)
        splits[split] = SplitRecord(
            pack_correct(correct), predictions[split], loss, accuracy, recorded
        )
    diverged_at = np.where(np.isin(manifest.members, diverged), extent, -1)
    return ExtentRecord(
        extent,
        splits,
        diverged_at,
        1234.5 if extent else float("nan"),
        {
            probe: ProbeRecord(predictions[probe], _make_recorded(manifest, extent, probe))
            for probe in manifest.data.probe_sizes
        },
    )


def _make_recorded(manifest: Manifest, extent: int, name: str) -> dict[str, np.ndarray]:
    """Numbers that depend on the member, the extent, the quantity and the set alone."""
    shape = (manifest.data.sizes[name],)

    def of_member(member, quantity):
        rng = np.random.default_rng([member, extent, *quantity.encode(), *name.encode()])
        of_classes = Quantity(quantity).of_classes
        return rng.normal(size=(*shape, manifest.data.num_classes) if of_classes else shape)

    return {
        quantity: np.stack([of_member(m, quantity) for m in manifest.members]).astype(np.float16)
        for quantity in manifest.recorded.get(name, ())
    }


def _make_predictions(manifest: Manifest, extent: int) -> dict[str, np.ndarray]:
    K = manifest.data.num_classes
    return {
        name: np.stack(
            [
                np.random.default_rng([member, extent, position]).integers(K, size=size)
                for member in manifest.members
            ]
        ).astype(np.min_scalar_type(K - 1))
        for position, (name, size) in enumerate(manifest.data.sizes.items())
    }


def write_run(directory, manifest: Manifest, finished=None, diverged=()) -> RunWriter:
    splits = make_splits(manifest.data.split_sizes, manifest.data.num_classes)
    probes = make_probes(manifest.data.probe_sizes)
    writer = RunWriter.create(directory, manifest, splits, probes=probes)
    for extent in manifest.extents if finished is None else finished:
        writer.write_extent(make_record(manifest, extent, diverged if extent else ()))
    return writer


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """No test pulls the plug of the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def toy():
    """The makers above, for tests that need their own collection."""
    return SimpleNamespace(
        splits=make_splits,
        probes=make_probes,
        manifest=make_manifest,
        record=make_record,
        write_run=write_run,
    )
