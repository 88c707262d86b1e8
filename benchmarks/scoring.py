r"""A large run is scored in seconds, within the memory of a laptop, on CPU alone.

Run: python -m benchmarks.scoring
Takes about two minutes on two cores, most of it for the three rounds of consensus scores.

What is scored: 100 members, 140 extents and 50,000 examples of 100 classes, made up: members that
learn the same examples first, up to noise of their own. Packed bitmaps as a run has them,
predictions one extent after another as a reader gives them. Timed are the consistency of all
extents from the bits, their bimodality, the accessibility of the collection and of each member, the
correlation of halves of the collection, and the consensus of all extents. Making the data and
reading files is not timed.

Results: `results.json` with every round and `table.md` in `--output`.
"""

from __future__ import annotations

import time

import numpy as np
from absl import app, flags
from jaxtyping import UInt8

from benchmarks.environment import define_output, describe_environment, write_page
from benchmarks.memory import forget_peak, peak_resident_bytes
from benchmarks.summary import Spread, markdown
from ensemble_jax.analysis import (
    bimodality,
    consensus_score,
    consistency_from_bits,
    member_accessibility_from_bits,
    split_half_correlations,
)

_MEMBERS = flags.DEFINE_integer("members", 100, "N.", lower_bound=2)
_EXTENTS = flags.DEFINE_integer("extents", 140, "E.", lower_bound=1)
_EXAMPLES = flags.DEFINE_integer("examples", 50_000, "M.", lower_bound=2)
_CLASSES = flags.DEFINE_integer("classes", 100, "K.", lower_bound=2, upper_bound=256)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Measurements of each step.", lower_bound=1)
_OUTPUT = define_output("scoring")

_FORMAT = 1
_NOISE = 0.1
_SEED = 0


def make_bits(num_extents: int, num_members: int, num_examples: int) -> UInt8[np.ndarray, "E N B"]:
    """Packed bitmaps of members that learn the same examples first."""
    rng = np.random.default_rng(_SEED)
    difficulty = rng.random(num_examples, np.float32)
    bits = np.empty((num_extents, num_members, -(-num_examples // 8)), np.uint8)
    for extent, learned in enumerate(np.linspace(0, 1, num_extents)):
        for member in range(num_members):
            noise = rng.standard_normal(num_examples, np.float32) * np.float32(_NOISE)
            bits[extent, member] = np.packbits(difficulty + noise < learned)
    return bits


def make_predictions(
    bits: UInt8[np.ndarray, "N B"], num_examples: int, num_classes: int
) -> UInt8[np.ndarray, "N M"]:
    """Predictions that are right where the bits say so, else any other class; class 0 is right."""
    correct = np.unpackbits(bits, axis=-1, count=num_examples)
    rng = np.random.default_rng(_SEED)
    wrong = rng.integers(1, num_classes, correct.shape, np.uint8)
    return np.where(correct, np.uint8(0), wrong)


def time_scores(
    bits: UInt8[np.ndarray, "E N B"], num_examples: int, num_classes: int
) -> dict[str, float]:
    """Seconds for each score of the whole run."""
    seconds: dict[str, float] = {}

    def timed(name, function, *arguments):
        started = time.perf_counter()
        result = function(*arguments)
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
        return result

    consistency = timed("consistency", consistency_from_bits, bits, num_examples)
    timed("bimodality", bimodality, consistency)
    timed("accessibility", consistency.mean, 0)
    members = timed("accessibility of members", member_accessibility_from_bits, bits, num_examples)
    timed("correlation of halves", split_half_correlations, members, _SEED)
    for at_extent in bits:
        predictions = make_predictions(at_extent, num_examples, num_classes)
        timed("consensus", consensus_score, predictions, num_classes)
    return seconds


def main(_: list[str]) -> None:
    """Makes the data, measures and writes."""
    num_examples, num_classes = _EXAMPLES.value, _CLASSES.value
    environment = describe_environment()
    bits = make_bits(_EXTENTS.value, _MEMBERS.value, num_examples)
    forget_peak()
    scores = [time_scores(bits, num_examples, num_classes) for _ in range(_ROUNDS.value)]
    content = {
        "kind": "ensemble_jax scoring",
        "format": _FORMAT,
        "environment": environment,
        "shape": {
            "members": _MEMBERS.value,
            "extents": _EXTENTS.value,
            "examples": num_examples,
            "classes": num_classes,
        },
        "bits_bytes": bits.nbytes,
        "peak_bytes": peak_resident_bytes(),
        "scores": scores,
    }
    seconds = {name: [of[name] for of in scores] for name in scores[0]}
    seconds["all"] = [sum(of.values()) for of in scores]
    lines = [
        *markdown(
            ("score of the whole run", "seconds"),
            [(name, Spread.of(of).written("{:.3f}")) for name, of in seconds.items()],
        ),
        "",
        f"Peak memory of the process: {content['peak_bytes'] / 2**30:.2f} GiB, of which the "
        f"bitmaps are {bits.nbytes / 2**30:.2f} GiB.",
    ]
    conditions = (
        f"{_MEMBERS.value} members, {_EXTENTS.value} extents, {num_examples} examples, "
        f"{num_classes} classes; median (least-largest) of {len(scores)} rounds."
    )
    write_page(_OUTPUT.value, content, "Scoring", conditions, lines)


if __name__ == "__main__":
    app.run(main)
