r"""A large run is scored in seconds, within the memory of a laptop, on CPU alone.

Run: python -m benchmarks.scoring
Takes about two minutes on two cores, most of it for the three rounds of consensus scores.

What is scored: 100 members, 140 extents and 50,000 examples of 100 classes, made up: members that
learn the same examples first, up to noise of their own. Packed bitmaps as a run has them,
predictions one extent after another as a reader gives them. Timed are the consistency of all
extents from the bits, their bimodality, the accessibility of the collection and of each member, the
correlation of halves of the collection, and the consensus of all extents. Making the data and
reading files is not timed.

What is compared: four ways to count the members that are right, from the same bits: the project's,
which unpacks blocks and sums them in bytes; vertical counters, which add 64 examples in one
operation on words; a table of the eight bits of every byte; unpacking all and summing in integers.
All must give the same counts.

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
from jaxtyping import UInt8

from benchmarks.environment import ROOT, describe_environment, provenance
from benchmarks.memory import forget_peak, peak_resident_bytes
from ensemble_jax.analysis import (
    bimodality,
    consensus_score,
    consistency_from_bits,
    count_correct_from_bits,
    member_accessibility_from_bits,
    split_half_correlations,
)
from ensemble_jax.runs.files import replace_file

_MEMBERS = flags.DEFINE_integer("members", 100, "N.", lower_bound=2)
_EXTENTS = flags.DEFINE_integer("extents", 140, "E.", lower_bound=1)
_EXAMPLES = flags.DEFINE_integer("examples", 50_000, "M.", lower_bound=2)
_CLASSES = flags.DEFINE_integer("classes", 100, "K.", lower_bound=2, upper_bound=256)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Measurements of each step.", lower_bound=1)
_OUTPUT = flags.DEFINE_string(
    "output", str(ROOT / "benchmarks" / "results" / "scoring"), "Where to write."
)

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


def count_by_table(bits: UInt8[np.ndarray, "N B"], num_examples: int) -> np.ndarray:
    """A byte's eight bits are the eight bytes of one word, which are added at once; N <= 255."""
    return _TABLE[bits].sum(axis=0).view(np.uint8)[:num_examples]


def count_vertically(bits: UInt8[np.ndarray, "N B"], num_examples: int) -> np.ndarray:
    """Bit j of all counts is one row of words, a plane; a full adder makes two rows of three.

    Five operations on words for each row take the place of 64 additions; N <= 255.
    """
    rows = np.zeros((len(bits), -(-bits.shape[1] // 8) * 8), np.uint8)
    rows[:, : bits.shape[1]] = bits
    rows = rows.view(np.uint64)
    counts = np.zeros(num_examples, np.uint8)
    position = 0
    while len(rows):
        carries = []
        while len(rows) > 1:
            third = max(1, len(rows) // 3)
            first, second = rows[:third], rows[third : 2 * third]
            # Two rows that are left make a half adder: the third is zero.
            rest = rows[2 * third : 3 * third] if len(rows) > 2 else np.zeros_like(first)
            either = first ^ second
            carries.append((first & second) | (either & rest))
            rows = np.concatenate([either ^ rest, rows[3 * third :]])
        plane = np.unpackbits(rows[0].view(np.uint8), count=num_examples)
        counts |= np.left_shift(plane, position, out=plane)
        rows = np.concatenate(carries) if carries else rows[:0]
        position += 1
    return counts


def count_booleans(bits: UInt8[np.ndarray, "N B"], num_examples: int) -> np.ndarray:
    """Sums of booleans in 32 bits, as for a bitmap of any size."""
    correct = np.unpackbits(bits, axis=-1, count=num_examples).view(np.bool_)
    return correct.sum(axis=0, dtype=np.int32)


_TABLE = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).view(np.uint64)[:, 0]
_COUNTERS: dict[str, Callable] = {
    "blocks summed in bytes": count_correct_from_bits,
    "vertical counters": count_vertically,
    "table of bytes": count_by_table,
    "unpacked, sums of integers": count_booleans,
}
# Bytes hold no more.
_MOST_OF_BYTES = 255


def time_counters(bits: UInt8[np.ndarray, "E N B"], num_examples: int) -> dict[str, float]:
    """Seconds for all extents by every way of counting, which must agree."""
    seconds = {}
    expected = count_booleans(bits[-1], num_examples)
    for name, count in _COUNTERS.items():
        if bits.shape[1] > _MOST_OF_BYTES and count in (count_by_table, count_vertically):
            continue
        np.testing.assert_array_equal(count(bits[-1], num_examples), expected)
        started = time.perf_counter()
        for at_extent in bits:
            count(at_extent, num_examples)
        seconds[name] = time.perf_counter() - started
    return seconds


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


def write_results(folder: Path, content: dict[str, Any]) -> None:
    """Write `results.json` and `table.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "results.json", f"{json.dumps(content, indent=1)}\n".encode())
    environment, shape = content["environment"], content["shape"]
    lines = [
        "# Scoring",
        "",
        provenance(environment),
        "",
        f"{environment['processor']}, {environment['cores']} cores; "
        f"Python {environment['versions']['python']}, NumPy {environment['versions']['numpy']}. "
        f"{shape['members']} members, {shape['extents']} extents, {shape['examples']} examples, "
        f"{shape['classes']} classes; median (least-largest) of {len(content['scores'])} rounds.",
        "",
        *_table("score of the whole run", content["scores"], total=True),
        "",
        f"Peak memory of the process: {content['peak_bytes'] / 2**30:.2f} GiB, of which the "
        f"bitmaps are {content['bits_bytes'] / 2**30:.2f} GiB.",
        "",
        *_table("counting all extents by", content["counters"], total=False),
        "",
    ]
    replace_file(folder / "table.md", "\n".join(lines).encode())


def _table(heading: str, rounds: list[dict[str, float]], *, total: bool) -> list[str]:
    rows = {name: [of[name] for of in rounds] for name in rounds[0]}
    if total:
        rows["all"] = [sum(of.values()) for of in rounds]
    return [
        f"| {heading} | seconds |",
        "|---|---|",
        *(f"| {name} | {median(s):.3f} ({min(s):.3f}-{max(s):.3f}) |" for name, s in rows.items()),
    ]


def main(_: list[str]) -> None:
    """Makes the data, measures and writes."""
    num_examples, num_classes = _EXAMPLES.value, _CLASSES.value
    environment = describe_environment()
    bits = make_bits(_EXTENTS.value, _MEMBERS.value, num_examples)
    counters = [time_counters(bits, num_examples) for _ in range(_ROUNDS.value)]
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
        "counters": counters,
    }
    write_results(Path(_OUTPUT.value), content)
    print((Path(_OUTPUT.value) / "table.md").read_text())


if __name__ == "__main__":
    app.run(main)
