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

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import app, flags

from benchmarks.environment import (
    define_output,
    describe_environment,
    write_page,
)
from benchmarks.example_arrays import make_arrays
from benchmarks.memory import forget_peak, peak_resident_bytes
from benchmarks.summary import Spread, markdown
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

_MEMBERS = flags.DEFINE_integer("members", 100, "N.", lower_bound=2)
_EXTENTS = flags.DEFINE_integer("extents", 20, "E.", lower_bound=1)
_EXAMPLES = flags.DEFINE_integer("examples", 50_000, "M.", lower_bound=2)
_CLASSES = flags.DEFINE_integer("classes", 10, "K.", lower_bound=2, upper_bound=256)
_INFLUENCED = flags.DEFINE_integer(
    "influenced", 2000, "Examples that influence is on.", lower_bound=1
)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Measurements of each step.", lower_bound=1)
_OUTPUT = define_output("scores")

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


def main(_: list[str]) -> None:
    """Makes the data, measures and writes."""
    environment = describe_environment()
    sizes = _EXTENTS.value, _MEMBERS.value, _EXAMPLES.value, _CLASSES.value
    influenced = min(_INFLUENCED.value, _EXAMPLES.value)
    arrays = make_arrays(*sizes)
    forget_peak()
    rounds = [time_scores(arrays, influenced) for _ in range(_ROUNDS.value)]
    shape = dict(zip(("extents", "members", "examples", "classes"), sizes, strict=True))
    array_bytes, peak_bytes = sum(of.nbytes for of in arrays.values()), peak_resident_bytes()
    content = {
        "kind": "ensemble_jax scores",
        "format": _FORMAT,
        "environment": environment,
        "shape": shape | {"influenced": influenced},
        "array_bytes": array_bytes,
        "peak_bytes": peak_bytes,
        "rounds": rounds,
    }
    times = {name: [of[name] for of in rounds] for name in rounds[0]}
    times["all"] = [np.sum(list(of.values()), axis=0).tolist() for of in rounds]
    rows = [
        (name, *(Spread.of(one).written("{:.2f}") for one in zip(*of, strict=True)))
        for name, of in times.items()
    ]
    lines = [
        *markdown(("score", "seconds", "seconds of the processor"), rows),
        "",
        f"Peak memory of the process: {peak_bytes / 2**30:.2f} GiB, of which the arrays are "
        f"{array_bytes / 2**30:.2f} GiB.",
    ]
    conditions = (
        f"{shape['members']} members, {shape['extents']} extents, {shape['examples']} examples, "
        f"{shape['classes']} classes; influence on {influenced} examples. Median (least-largest) "
        f"of {len(rounds)} rounds."
    )
    write_page(_OUTPUT.value, content, "Scores of examples", conditions, lines)


if __name__ == "__main__":
    app.run(main)
