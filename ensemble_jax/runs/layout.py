"""Where everything lies in a run directory.

    run.json                      what the run is: see `Manifest`; it makes the folder a run
    examples.npz                  labels_SPLIT int32 [M], ids_SPLIT [M], ids_PROBE [M]; where it is
                                  known what examples really are, true_labels_SPLIT int32 [M]; where
                                  members are trained on different examples or labels, which: see
                                  `TrainingSets`
    records/extent-000010.npz     what the members did after 10 epochs: see `ExtentRecord`
    metrics.jsonl                 one line for each extent, for people and other tools; it holds
                                  nothing that the records do not, and is never read back
    checkpoints/                  the training state
    parts/10-20/                  further members, from 10 up to 20: a folder like this one; those
                                  that belong to the run are named in its `run.json`
    .lock                         while a process writes the run: which; see `lock_run`

Bitmaps are packed eight examples to a byte in the order of `numpy.packbits`; the bits after the
last example are 0.
"""

from __future__ import annotations

from pathlib import Path

KIND = "ensemble_jax run"
# Raised whenever an older reader would misread what is written; 2 brought the probes, 3 the
# parts, 4 the digests of the inputs and the numbers by which these are normalised, 5 other names of
# what members are trained on and differ in, further quantities of every example, and the id that
# records and checkpoints bear.
FORMAT_VERSION = 5

MANIFEST = "run.json"
EXAMPLES = "examples.npz"
RECORDS = "records"
CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
PARTS = "parts"
FIGURES = "figures"
FOLDERS = (RECORDS, CHECKPOINTS, PARTS, FIGURES)
LOCK = ".lock"


def record_path(directory: Path, extent: int) -> Path:
    """The file of one extent's record."""
    return directory / RECORDS / f"extent-{extent:06d}.npz"


def part_path(directory: Path, first: int, end: int) -> Path:
    """The folder of the further members `first` up to `end` of a run."""
    return directory / PARTS / f"{first}-{end}"
