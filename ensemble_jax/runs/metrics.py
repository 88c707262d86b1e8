"""`metrics.jsonl`: each extent's losses and accuracies as one line of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ensemble_jax.runs.manifest import Manifest
from ensemble_jax.runs.records import read_arrays


def metric_names(manifest: Manifest) -> dict[str, str]:
    """The name of each `[N]` metric, `train_loss`, and of the array that holds it, `loss_train`."""
    return {
        f"{split}_{quantity}": f"{quantity}_{split}"
        for split in manifest.data.split_sizes
        for quantity in ("loss", "accuracy")
    }


def metrics_line(path: Path, extent: int, manifest: Manifest) -> bytes:
    """The line of one extent, from its record; what is not finite becomes null."""
    names = metric_names(manifest)
    wanted = [*names.values(), "train_images_per_second"]
    *metrics, speed = read_arrays(path, extent, wanted, manifest)
    line = {"extent": extent}
    line |= {name: [_number(x) for x in array] for name, array in zip(names, metrics, strict=True)}
    line |= {"train_images_per_second": _number(speed.item())}
    return json.dumps(line, allow_nan=False).encode() + b"\n"


def _number(value: float) -> float | None:
    # The shortest text that gives the same float32: 0.84 and not 0.8399999737739563.
    return float(str(value)) if np.isfinite(value) else None
