r"""Every score of examples of a large collection takes less than a minute and 4 GB, on CPU alone.

Run: python -m benchmarks.scores
Takes about three minutes on two cores, a third of it for making the data.

What is scored: 100 members, 20 extents and 50,000 examples of 10 classes, made up: members of
random halves that learn the same examples first, up to noise of their own. As they are recorded:
correctness as booleans, predictions as bytes, label probabilities and margins `[E, N, M]` in
float16, and probabilities `[N, M, K]` in float16 of the last extent. Timed is every score of
`ensemble_jax.analysis.SCORES` with its mean over members, and what belongs to it: the share that is
forgotten, the class that members agreed about, the confident joint, calibration, and the train
examples of most influence on 2,000 others. Making the data is not timed.

Results: `results.json` with every round and `table.md` in `--output`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from absl import app, flags

from benchmarks.environment import ROOT, describe_environment, provenance
from benchmarks.example_arrays import make_arrays
from benchmarks.memory import forget_peak, peak_resident_bytes
from ensemble_jax.analysis import (
    SCORES,
    confident_joint,
    expected_calibration_error,
    forget_fraction,
    member_mean,
    most_agreed_class,
    score_examples,
    top_influences,
)
from ensemble_jax.runs.files import replace_file

_MEMBERS = flags.DEFINE_integer("members", 100, "N.", lower_bound=2)
_EXTENTS = flags.DEFINE_integer("extents", 20, "E.", lower_bound=1)
_EXAMPLES = flags.DEFINE_integer("examples", 50_000, "M.", lower_bound=2)
_CLASSES = flags.DEFINE_integer("classes", 10, "K.", lower_bound=2, upper_bound=256)
_INFLUENCED = flags.DEFINE_integer(
    "influenced", 2000, "Examples that influence is on.", lower_bound=1
)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Measurements of each step.", lower_bound=1)
_OUTPUT = flags.DEFINE_string(
    "output", str(ROOT / "benchmarks" / "results" / "scores"), "Where to write."
)

_FORMAT = 1
_TOP = 10


def time_scores(arrays: dict[str, np.ndarray], num_influenced: int) -> dict[str, list[float]]:
    """Seconds on the clock and of the processor for each score of the collection."""
    seconds: dict[str, list[float]] = {}

    def timed(name: str, function: Callable, *arguments: Any) -> Any:
        started = time.perf_counter(), time.process_time()
        result = function(*arguments)
        ended = time.perf_counter(), time.process_time()
        seconds[name] = [end - start for start, end in zip(started, ended, strict=True)]
        return result

    correct, labels = arrays["correct"], arrays["labels"]
    for name in SCORES:
        timed(name, score_examples, arrays, [name])
    num_classes = arrays["probabilities"].shape[-1]
    timed("forget_fraction", forget_fraction, correct)
    timed("most_agreed_class", most_agreed_class, arrays["predictions"], num_classes)
    mean = timed("held-out mean", member_mean, arrays["probabilities"], ~arrays["train_mask"]).mean
    known = ~np.isnan(mean[:, 0])
    timed("confident_joint", confident_joint, mean[known], labels[known])
    timed("expected_calibration_error", expected_calibration_error, mean[known], labels[known])
    influenced = correct[-1, :, :num_influenced]
    timed("top_influences", top_influences, arrays["train_mask"], influenced, min(_TOP, len(mean)))
    return seconds


def write_results(folder: Path, content: dict[str, Any]) -> None:
    """Write `results.json` and `table.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "results.json", f"{json.dumps(content, indent=1)}\n".encode())
    environment, shape, rounds = content["environment"], content["shape"], content["rounds"]
    rows = {name: [of[name] for of in rounds] for name in rounds[0]}
    rows["all"] = [np.sum(list(of.values()), axis=0).tolist() for of in rounds]
    lines = [
        "# Scores of examples",
        "",
        provenance(environment),
        "",
        f"{environment['processor']}, {environment['cores']} cores; load average before the start "
        f"{environment['load_average'][0]:.1f}. Python {environment['versions']['python']}, NumPy "
        f"{environment['versions']['numpy']}. {shape['members']} members, {shape['extents']} "
        f"extents, {shape['examples']} examples, {shape['classes']} classes; influence on "
        f"{shape['influenced']} examples. Median (least-largest) of {len(rounds)} rounds.",
        "",
        "| score | seconds | seconds of the processor |",
        "|---|---|---|",
        *(
            f"| {name} | {_describe([clock for clock, _ in times])} | "
            f"{_describe([processor for _, processor in times])} |"
            for name, times in rows.items()
        ),
        "",
        f"Peak memory of the process: {content['peak_bytes'] / 2**30:.2f} GiB, of which the arrays "
        f"are {content['array_bytes'] / 2**30:.2f} GiB.",
        "",
    ]
    replace_file(folder / "table.md", "\n".join(lines).encode())


def _describe(seconds: list[float]) -> str:
    return f"{median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})"


def main(_: list[str]) -> None:
    """Makes the data, measures and writes."""
    environment = describe_environment()
    sizes = _EXTENTS.value, _MEMBERS.value, _EXAMPLES.value, _CLASSES.value
    influenced = min(_INFLUENCED.value, _EXAMPLES.value)
    arrays = make_arrays(*sizes)
    forget_peak()
    rounds = [time_scores(arrays, influenced) for _ in range(_ROUNDS.value)]
    shape = dict(zip(("extents", "members", "examples", "classes"), sizes, strict=True))
    content = {
        "kind": "ensemble_jax scores",
        "format": _FORMAT,
        "environment": environment,
        "shape": shape | {"influenced": influenced},
        "array_bytes": sum(array.nbytes for array in arrays.values()),
        "peak_bytes": peak_resident_bytes(),
        "rounds": rounds,
    }
    write_results(Path(_OUTPUT.value), content)
    print((Path(_OUTPUT.value) / "table.md").read_text())


if __name__ == "__main__":
    app.run(main)
