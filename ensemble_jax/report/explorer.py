"""The data of the explorer: a run's examples as compact arrays, names as JSON, pictures as sprites.

`explorer.js` reads what is written here. Arrays are little-endian, deflated together and written in
base64; scores are rounded to 65,535 steps of their range, which no eye can tell (`scores.csv` has
them as they are). JSON holds no `<`, so that no text of it ends the element that it stands in.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num, Shaped

from ensemble_jax.analysis import choose_extents
from ensemble_jax.data import Dataset, read_inputs
from ensemble_jax.data.showing import as_bytes, as_texts, why_no_pictures
from ensemble_jax.report.example_scores import (
    Details,
    ExampleProperty,
    ExampleScore,
    example_properties,
    example_scores,
    why_fewer_scores,
)
from ensemble_jax.report.exhibits import Material
from ensemble_jax.report.history import History
from ensemble_jax.report.sprites import MEDIA_TYPE, Sprites, choose_size, make_sprites
from ensemble_jax.runs import Run

_MOST_EXAMPLES, _MOST_EXTENTS = 250_000, 60
# Characters of a text, and of all texts.
_MOST_CHARACTERS, _MOST_TEXT = 400, 8_000_000
_UNDEFINED = 0xFFFF
_PICTURES_PER_READ = 1024
_SEED = 0


@dataclass(frozen=True)
class Explorer:
    """What a page embeds.

    Attributes:
        facts: JSON without `<`.
        arrays: base64 of the deflated arrays, whose places are in `facts`.
        sheets: base64 of the sheets of pictures.
        sheet_type: their media type.
    """

    facts: str
    arrays: str
    sheets: Sequence[str]
    sheet_type: str = MEDIA_TYPE


class Shown(NamedTuple):
    """A run that is explored.

    Attributes:
        run: with at least one extent and one member.
        histories: of its splits and probes (`read_histories`), or of some of them.
        name: by which it is told from another one.
    """

    run: Run
    histories: Mapping[str, History]
    name: str = ""


def make_explorer(
    run: Run,
    histories: Mapping[str, History],
    material: Material,
    details: Mapping[str, Details] = MappingProxyType({}),
    begin: str = "",
) -> Explorer:
    """All that the explorer shows of a run.

    Args:
        run: with at least one extent and one member.
        histories: of its splits and probes (`read_histories`).
        material: its data set, for pictures and texts, if there is one.
        details: what else is known of the examples, by split or probe.
        begin: the score by which examples are sorted at first; the hardest come first by default.
    """
    return explore_runs([Shown(run, histories)], material, details, begin)


def explore_runs(
    shown: Sequence[Shown],
    material: Material,
    details: Mapping[str, Details] = MappingProxyType({}),
    begin: str = "",
) -> Explorer:
    """All that the explorer shows of one run, or of two on the same examples.

    Args:
        shown: the runs, whose histories have the same names and examples in the same order.
        material: their data set, for pictures and texts, if there is one.
        details: what else is known of the examples, by split or probe.
        begin: the score by which examples are sorted at first; the hardest come first by default.
    """
    run, histories, _ = shown[0]
    parts = [(name, np.arange(len(run.ids[name]))) for name in histories]
    difficulty = np.concatenate(
        [
            (of.consistency if of.of_labels else of.consensus).mean(axis=0)
            for of in histories.values()
        ]
    )
    dataset, remark = material
    remarks = [remark] if remark else []
    chosen = choose_examples(difficulty, _MOST_EXAMPLES)
    if len(chosen) < len(difficulty):
        remarks.append(_told("Examples", len(chosen), len(difficulty)))
        offsets = np.cumsum([0, *(len(of) for _, of in parts)])
        parts = [
            (name, own[np.isin(own + start, chosen)])
            for (name, own), start in zip(parts, offsets[:-1], strict=True)
        ]
        difficulty = difficulty[chosen]
    all_extents = sorted({extent for of in shown for extent in of.run.extents})
    extents = choose_extents(all_extents, _MOST_EXTENTS)
    if len(extents) < len(all_extents):
        remarks.append(f"{len(extents)} of {len(all_extents)} extents are here.")
    kept = [[row for row, e in enumerate(of.run.extents) if e in extents] for of in shown]
    arrays, scores, runs = {}, [], []
    for number, (of, rows) in enumerate(zip(shown, kept, strict=True)):
        own, own_scores = _arrays_of_run(of, parts, rows, details if number == 0 else {})
        arrays |= {f"{name}#{number}": array for name, array in own.items()}
        scores += [{"run": number} | score for score in own_scores]
        runs.append(
            {
                "name": of.name,
                "members": len(of.run.members),
                "extents": [int(of.run.extents[row]) for row in rows],
                "last": int(of.run.extents[-1]),
            }
        )
        remarks += filter(None, [why_fewer_scores(of.run)])
    of_examples, properties = _arrays_of_examples(run, parts, details)
    arrays |= of_examples
    texts, sprites = None, None
    if dataset is not None:
        inputs = [(dataset.splits[name].inputs, own) for name, own in parts if name in run.splits]
        if dataset.word_vectors is not None:
            texts, told = _texts(inputs, dataset)
        else:
            arrays["cells"], sprites, told = _pictures(inputs, dataset, difficulty)
        remarks += filter(None, [told])
    places, packed = pack(arrays)
    facts = {
        "runs": runs,
        "extents": [int(extent) for extent in extents],
        "begin": begin,
        "classes": list(run.class_names),
        "sets": [
            {"name": name, "size": len(own), "labelled": name in run.splits} for name, own in parts
        ],
        "ids": [_id(value) for name, own in parts for value in run.ids[name][own]],
        "scores": scores,
        "properties": properties,
        "texts": texts,
        "sprites": sprites and {k: v for k, v in sprites._asdict().items() if k != "sheets"},
        "remark": " ".join(remarks),
        "arrays": places,
    }
    return Explorer(
        json.dumps(facts, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        packed,
        [base64.b64encode(sheet).decode() for sheet in (sprites.sheets if sprites else ())],
    )


def choose_examples(difficulty: Float[np.ndarray, " M"], most: int) -> Int[np.ndarray, " m"]:
    """All positions, or `most` of them: the hardest, as a half, and others drawn at random.

    Args:
        difficulty: `[M]`, lowest of the hardest.
        most: at least 1.
    """
    if len(difficulty) <= most:
        return np.arange(len(difficulty))
    order = np.argsort(difficulty, kind="stable")
    hardest, others = order[: most // 2], order[most // 2 :]
    drawn = np.random.default_rng(_SEED).choice(others, most - len(hardest), replace=False)
    return np.sort(np.concatenate([hardest, drawn]))


def pack(arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], str]:
    """Where each array lies and of which type it is, and all of them, deflated, in base64.

    >>> places, packed = pack({"a": np.array([1, 2], np.uint16)})
    >>> places, zlib.decompress(base64.b64decode(packed))[:4].hex()
    ({'a': {'offset': 0, 'length': 2, 'type': 'uint16'}}, '01000200')
    """
    places, pieces, offset = {}, [], 0
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        # A typed array begins at a multiple of the size of its numbers.
        piece = little.tobytes() + bytes(-little.nbytes % 8)
        places[name] = {"offset": offset, "length": little.size, "type": array.dtype.name}
        pieces.append(piece)
        offset += len(piece)
    return places, base64.b64encode(zlib.compress(b"".join(pieces), 6)).decode()


def quantise(values: Float[np.ndarray, " M"]) -> tuple[Num[np.ndarray, " M"], float, float]:
    """The values in 65,535 steps between the least and the largest, and these; 65,535 for NaN.

    >>> quantise(np.array([1.0, np.nan, 3.0]))
    (array([    0, 65535, 65534], dtype=uint16), 1.0, 3.0)
    """
    defined = np.isfinite(values)
    low, high = (values[defined].min(), values[defined].max()) if defined.any() else (0.0, 0.0)
    steps = np.full(values.shape, _UNDEFINED, np.uint16)
    scale = (_UNDEFINED - 1) / (high - low) if high > low else 0.0
    steps[defined] = np.rint((values[defined] - low) * scale)
    return steps, float(low), float(high)


def _arrays_of_run(
    of: Shown, parts, rows, details
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """The arrays of what one run did with all examples, set after set, and the scores in them."""
    run, histories, _ = of
    counts, classes = (np.min_scalar_type(most) for most in (len(run.members), run.num_classes))
    of_sets = [(histories[name], own) for name, own in parts]
    pick = np.ix_
    correct = [
        of_set.of_labels.correct[pick(rows, own)]
        if of_set.of_labels
        else np.zeros((len(rows), len(own)))
        for of_set, own in of_sets
    ]
    arrays = {
        "correct": np.concatenate(correct, axis=1).astype(counts),
        "predicted": np.concatenate(
            [of_set.classes[pick(rows, own)] for of_set, own in of_sets], axis=1
        ).astype(classes),
        "votes": np.concatenate(
            [of_set.votes[pick(rows, own)] for of_set, own in of_sets], axis=1
        ).astype(counts),
        "top_classes": np.concatenate(
            [of_set.last_votes.classes[own] for of_set, own in of_sets]
        ).astype(classes),
        "top_votes": np.concatenate(
            [of_set.last_votes.counts[own] for of_set, own in of_sets]
        ).astype(counts),
    }
    found = [
        [*example_scores(run, name, histories[name]), *details.get(name, Details()).scores]
        for name, _ in parts
    ]
    values, scores = _quantised(found, parts)
    return arrays | values, scores


def _arrays_of_examples(
    run: Run, parts, details
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Labels and properties of all examples, set after set, and what the properties are."""
    # A class that there is not stands for a label that there is not.
    labels = [
        run.labels[name][own] if name in run.labels else np.full(len(own), run.num_classes)
        for name, own in parts
    ]
    arrays = {"labels": np.concatenate(labels).astype(np.min_scalar_type(run.num_classes))}
    found = [
        _by_name(
            [
                *(example_properties(run, name) if name in run.splits else ()),
                *details.get(name, Details()).properties,
            ]
        )
        for name, _ in parts
    ]
    known: dict[str, ExampleProperty] = {n: of for each in found for n, of in each.items()}
    properties = []
    for name, of in known.items():
        pieces = [
            each[name].codes[own] if name in each else np.full(len(own), len(of.names))
            for each, (_, own) in zip(found, parts, strict=True)
        ]
        arrays[f"property_{name}"] = np.concatenate(pieces).astype(
            np.min_scalar_type(len(of.names))
        )
        properties.append({"name": name, "title": of.title, "names": list(of.names)})
    return arrays, properties


def _quantised(
    of_sets: Sequence[Sequence[ExampleScore]], parts
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """The arrays of scores and their errors, set after set, and what they are."""
    by_set = [_by_name(of) for of in of_sets]
    arrays, scores = {}, []
    for name, score in {name: score for of in by_set for name, score in of.items()}.items():
        scores.append({"name": name, "title": score.title, "meaning": score.meaning})
        for kind in ("values", "errors"):
            if getattr(score, kind) is None:
                continue
            joined = [
                getattr(of[name], kind)[own]
                if name in of and getattr(of[name], kind) is not None
                else np.full(len(own), np.nan)
                for of, (_, own) in zip(by_set, parts, strict=True)
            ]
            steps, low, high = quantise(np.concatenate(joined))
            arrays[f"{kind}_{name}"] = steps
            scores[-1][kind] = {"low": low, "high": high}
    return arrays, scores


def _by_name(named: Sequence[Any]) -> dict[str, Any]:
    return {of.name: of for of in named}


def _pictures(
    shown, dataset: Dataset, difficulty
) -> tuple[Int[np.ndarray, " M"], Sprites | None, str]:
    """Where the picture of each example lies, -1 without one; the pictures; what is to be said."""
    cells = np.full(len(difficulty), -1, np.int32)
    remark = why_no_pictures(dataset)
    count = sum(len(own) for _, own in shown)
    if remark:
        return cells, None, remark
    height, width, _ = dataset.input_shape
    width, height, room = choose_size(width, height, count)
    # Splits come before probes, which have no pictures.
    chosen = choose_examples(difficulty[:count], room)
    cells[chosen] = np.arange(len(chosen))
    if len(chosen) < count:
        remark = _told("Pictures", len(chosen), count)
    return cells, make_sprites(_read(shown, chosen), width, height, len(chosen)), remark


def _read(shown, chosen) -> Iterator[Shaped[np.ndarray, "H W C"]]:
    """The pictures at the chosen positions of all sets together."""
    start = 0
    for inputs, own in shown:
        wanted = own[chosen[(chosen >= start) & (chosen < start + len(own))] - start]
        start += len(own)
        for first in range(0, len(wanted), _PICTURES_PER_READ):
            yield from as_bytes(read_inputs(inputs, wanted[first : first + _PICTURES_PER_READ]))


def _texts(shown, dataset: Dataset) -> tuple[list[str], str]:
    """The texts, the later ones empty where they grow too many; what is to be said."""
    texts, room, without = [], _MOST_TEXT, 0
    for inputs, own in shown:
        for first in range(0, len(own), _PICTURES_PER_READ):
            rows = read_inputs(inputs, own[first : first + _PICTURES_PER_READ])
            for text in as_texts(rows, dataset):
                short = text[:_MOST_CHARACTERS] if room > 0 else ""
                room -= len(short)
                without += not short
                texts.append(short)
    return texts, f"{without:,} examples are without their text." if without else ""


def _told(what: str, shown: int, count: int) -> str:
    return f"{what} of {shown:,} of {count:,}: the hardest, as a half, and others drawn at random."


def _id(value: Any) -> int | str:
    """What JavaScript can hold: its integers are exact to 2^53."""
    plain = value.item()
    return plain if isinstance(plain, str) or abs(plain) < 1 << 53 else str(plain)
