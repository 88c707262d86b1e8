"""What the explorer is given: arrays, names and pictures, read back as the page reads them."""

import base64
import csv
import dataclasses
import io
import json
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.explorer_page import write_page
from ensemble_jax.analysis import SCORES, accessibility_score, consensus_score, count_votes
from ensemble_jax.analysis import example_scores as scores_of_run
from ensemble_jax.data import Dataset, Split
from ensemble_jax.report import example_scores, explorer, history, sprites
from ensemble_jax.report.example_scores import ExampleScore
from ensemble_jax.report.exhibits import Material
from ensemble_jax.report.explorer import (
    Shown,
    choose_examples,
    explore_runs,
    make_explorer,
    quantise,
)
from ensemble_jax.report.history import read_histories
from ensemble_jax.report.page import Page, render_page
from ensemble_jax.report.sprites import choose_size, make_sprites

LABELS = {"train": [0, 1, 2, 0, 1], "test": [0, 1, 2]}
EXTENTS = (0, 1, 4)
N, K = 3, 3


@pytest.fixture(scope="module")
def predictions():
    rng = np.random.default_rng(0)
    sizes = {name: len(of) for name, of in LABELS.items()} | {"noise": 2}
    return {name: rng.integers(0, K, (len(EXTENTS), N, size)) for name, size in sizes.items()}


@pytest.fixture(scope="module")
def run(write_run, predictions, tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    probes = {"noise": predictions["noise"]}
    return write_run(directory, LABELS, predictions, EXTENTS, probes=probes)


@pytest.fixture(scope="module")
def histories(run):
    return read_histories(run)


@pytest.fixture(scope="module")
def other(write_run, tmp_path_factory):
    """Another run on the same examples, with other extents."""
    rng = np.random.default_rng(1)
    predictions = {name: rng.integers(0, K, (2, N, len(of))) for name, of in LABELS.items()}
    return write_run(tmp_path_factory.mktemp("runs") / "other", LABELS, predictions, (0, 2))


def of_splits(histories):
    return {name: histories[name] for name in LABELS}


def read(made):
    """The facts, and the arrays by name."""
    facts = json.loads(made.facts)
    buffer = zlib.decompress(base64.b64decode(made.arrays))
    return facts, {
        name: np.frombuffer(buffer, f"<{np.dtype(of['type']).str[1:]}", of["length"], of["offset"])
        for name, of in facts["arrays"].items()
    }


def dequantised(facts, arrays, name, kind="values"):
    bounds = next(score for score in facts["scores"] if score["name"] == name)[kind]
    steps = arrays[f"{kind}_{name}#0"]
    values = bounds["low"] + steps * (bounds["high"] - bounds["low"]) / 65534
    return np.where(steps == 65535, np.nan, values)


def test_histories_are_what_loops_over_members_say(run, predictions, histories):
    for split, labels in LABELS.items():
        right = predictions[split] == labels
        found = histories[split].of_labels
        np.testing.assert_array_equal(found.correct, right.sum(axis=1))
        np.testing.assert_allclose(found.accuracies, right.mean(axis=2))
        of_members = right.mean(axis=0)
        np.testing.assert_allclose(
            found.accessibility_error, of_members.std(axis=0, ddof=1) / np.sqrt(N), rtol=1e-5
        )
    noise = histories["noise"]
    assert noise.of_labels is None
    np.testing.assert_allclose(noise.consensus, consensus_score(predictions["noise"], K))


def test_votes_are_counted_in_blocks(monkeypatch, predictions):
    monkeypatch.setattr(history, "_BLOCK_SIZE", 2 * K)
    found = history._read_votes(predictions["train"][0], K)
    votes = count_votes(predictions["train"][0], K)
    np.testing.assert_array_equal(np.take_along_axis(votes, found.classes, axis=1), found.counts)
    assert (np.diff(found.counts, axis=1) <= 0).all()
    shares = votes / N
    expected = [-sum(p * np.log(p) for p in row if p) for row in shares]
    np.testing.assert_allclose(found.entropy, expected)


def test_a_vote_margin_by_hand(write_run, tmp_path):
    test = [[[0, 2, 2]] * 3, [[0, 0, 0], [0, 1, 1], [0, 1, 0]], [[0, 0, 0], [0, 1, 1], [0, 1, 0]]]
    run = write_run(tmp_path / "run", LABELS, {"train": [[[0] * 5] * 3] * 3, "test": test}, EXTENTS)
    scores = {
        s.name: s for s in example_scores.example_scores(run, "test", read_histories(run)["test"])
    }
    # All right; two against one; two for the first class, none for the label.
    np.testing.assert_allclose(scores["vote_margin"].values, [1, 1 / 3, -2 / 3])


def test_arrays_are_those_of_the_run(run, predictions, histories):
    facts, arrays = read(make_explorer(run, histories, Material(None, "not here")))
    assert facts["remark"] == "not here"
    assert facts["extents"] == facts["runs"][0]["extents"] == list(EXTENTS)
    assert [(of["name"], of["size"], of["labelled"]) for of in facts["sets"]] == [
        ("train", 5, True),
        ("test", 3, True),
        ("noise", 2, False),
    ]
    assert facts["ids"] == [0, 1, 2, 3, 4, 0, 1, 2, 0, 1]
    # The number after the last class stands for no label.
    assert arrays["labels"].tolist() == [0, 1, 2, 0, 1, 0, 1, 2, K, K]
    shape = (len(EXTENTS), -1)
    together = np.concatenate([predictions[name] for name in ("train", "test", "noise")], axis=2)
    consensus = arrays["votes#0"].reshape(shape) / N
    np.testing.assert_allclose(consensus, consensus_score(together, K))
    right = together == arrays["labels"]
    np.testing.assert_array_equal(arrays["correct#0"].reshape(shape)[:, :8], right.sum(1)[:, :8])
    accessibility = dequantised(facts, arrays, "accessibility")
    np.testing.assert_allclose(accessibility[:8], accessibility_score(right)[:8], atol=1e-5)
    assert np.isnan(accessibility[8:]).all()
    assert dequantised(facts, arrays, "accessibility", "errors")[:8].max() > 0
    assert not np.isnan(dequantised(facts, arrays, "vote_entropy")).any()


def test_scores_are_read_through_one_function(run, histories, monkeypatch):
    def scores(run, name, history):
        size = len(run.ids[name])
        return [ExampleScore("own", "a title", "a meaning", np.arange(size) / 2)]

    monkeypatch.setattr(explorer, "example_scores", scores)
    facts, arrays = read(make_explorer(run, histories, Material(None)))
    (score,) = facts["scores"]
    assert score == {
        "run": 0,
        "name": "own",
        "title": "a title",
        "meaning": "a meaning",
        "values": {"low": 0, "high": 2},
    }
    np.testing.assert_allclose(dequantised(facts, arrays, "own")[:5], np.arange(5) / 2, atol=1e-4)


def test_every_score_of_the_library_has_a_title_and_a_meaning():
    assert {"consistency", *example_scores.TITLES} == set(SCORES)


def test_scores_are_those_of_the_library(run, histories):
    facts, arrays = read(make_explorer(run, histories, Material(None)))
    for split, start in (("train", 0), ("test", 5)):
        own = slice(start, start + len(LABELS[split]))
        for name, (value, error) in scores_of_run(run, split).items():
            if name == "consistency":
                continue
            for kind, expected in (("values", value), ("errors", error)):
                if f"{kind}_{name}#0" not in arrays:
                    assert kind == "errors"
                    continue
                found = dequantised(facts, arrays, name, kind)[own]
                np.testing.assert_allclose(found, expected, atol=1e-4)
    listed = {score["name"] for score in facts["scores"]}
    assert {"forgetting_events", "learning_time", "agreement", "c_score"} <= listed


def test_too_large_runs_have_the_scores_of_all_members_together(run, histories, monkeypatch):
    monkeypatch.setattr(example_scores, "_MOST_NUMBERS", N * len(EXTENTS) * 3)
    facts, arrays = read(make_explorer(run, histories, Material(None)))
    assert "Of train there are only scores of all members together" in facts["remark"]
    forgetting = dequantised(facts, arrays, "forgetting_events")
    assert np.isnan(forgetting[:5]).all()
    assert not np.isnan(forgetting[5:8]).any()


def test_what_labels_really_are_is_there(run, histories):
    truth = np.array([0, 2, -1, 0, 0], np.int32)
    examples = run.examples._replace(true_labels={"train": truth})
    known = dataclasses.replace(run, examples=examples)
    facts, arrays = read(make_explorer(known, histories, Material(None)))
    assert [of["name"] for of in facts["properties"]] == ["true_label", "given_label"]
    # Labels are 0, 1, 2, 0, 1; the number after the last name stands for none.
    assert arrays["property_true_label"].tolist() == [0, 2, K, 0, 0, *[K] * 5]
    assert arrays["property_given_label"].tolist() == [0, 1, 2, 0, 1, *[2] * 5]


def test_two_runs_have_arrays_and_extents_of_their_own(run, histories, other):
    shown = [
        Shown(run, of_splits(histories), "one"),
        Shown(other, of_splits(read_histories(other)), "two"),
    ]
    facts, arrays = read(explore_runs(shown, Material(None)))
    assert facts["extents"] == [0, 1, 2, 4]
    assert [(of["name"], of["extents"], of["last"]) for of in facts["runs"]] == [
        ("one", [0, 1, 4], 4),
        ("two", [0, 2], 2),
    ]
    assert len(arrays["correct#0"]) == 3 * 8
    right = np.concatenate([other.correct(name).sum(axis=1) for name in LABELS], axis=1)
    np.testing.assert_array_equal(arrays["correct#1"].reshape(2, 8), right)
    assert {score["run"] for score in facts["scores"]} == {0, 1}


@pytest.mark.parametrize("values", [[0.5, np.nan, 1e9], [2.0, 2.0], [np.nan], [-1, np.inf, 1]])
def test_scores_are_rounded_to_a_65534th_of_their_range(values):
    values = np.array(values, float)
    steps, low, high = quantise(values)
    defined = np.isfinite(values)
    np.testing.assert_array_equal(steps == 65535, ~defined)
    again = low + steps[defined] * (high - low) / 65534
    np.testing.assert_allclose(again, values[defined], atol=0.5000001 * (high - low) / 65534)


def test_no_text_ends_its_element(run, histories):
    names = ("</script><script>", "<!--<script>", "]]>&amp;")
    data = dataclasses.replace(run.manifest.data, class_names=names)
    run = dataclasses.replace(run, manifest=dataclasses.replace(run.manifest, data=data))
    made = make_explorer(run, histories, Material(None))
    assert "<" not in made.facts
    assert json.loads(made.facts)["classes"] == list(names)


def test_nothing_in_the_script_makes_code_or_markup_of_text():
    script = Path(explorer.__file__).with_name("explorer.js").read_text("utf-8")
    words = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(")
    assert [
        word for word in (*words, "srcdoc", "DOMParser", "import(", "</") if word in script
    ] == []


def dataset(inputs, **fields):
    splits, start = [], 0
    for labels in LABELS.values():
        own = inputs[start : start + len(labels)]
        splits.append(Split(own, np.array(labels, np.int32), np.arange(len(labels))))
        start += len(labels)
    return Dataset("own", *splits, ("a", "b", "c"), **fields)


def cut(facts, made, cell):
    """The picture of a cell, as the page finds it."""
    of = facts["sprites"]
    sheet, place = divmod(cell, of["columns"] * of["rows"])
    row, column = divmod(place, of["columns"])
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(made.sheets[sheet]))).convert("RGB"))
    y, x = row * of["height"], column * of["width"]
    return image[y : y + of["height"], x : x + of["width"]]


@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_is_found_on_its_sheet(run, histories, monkeypatch, channels):
    monkeypatch.setattr(sprites, "_SHEET_SIDE", 12)
    inputs = np.random.default_rng(0).integers(0, 256, (8, 4, 6, channels), dtype=np.uint8)
    made = make_explorer(run, histories, Material(dataset(inputs)))
    facts, arrays = read(made)
    assert arrays["cells"].tolist() == [*range(8), -1, -1]
    assert len(made.sheets) == 2
    for example in range(8):
        expected = np.broadcast_to(inputs[example], (4, 6, 3))
        np.testing.assert_array_equal(cut(facts, made, example), expected)


def test_too_many_pictures_are_left_out_and_told(run, histories, monkeypatch):
    monkeypatch.setattr(sprites, "_MOST_PIXELS", 4 * 24)
    inputs = np.random.default_rng(0).integers(0, 256, (8, 4, 6, 1), dtype=np.uint8)
    made = make_explorer(run, histories, Material(dataset(inputs)))
    facts, arrays = read(made)
    assert facts["remark"].startswith("Pictures of 4 of 8: the hardest")
    shown = np.flatnonzero(arrays["cells"] >= 0)
    assert arrays["cells"][shown].tolist() == [0, 1, 2, 3]
    for example in shown:
        expected = np.broadcast_to(inputs[example], (4, 6, 3))
        np.testing.assert_array_equal(cut(facts, made, arrays["cells"][example]), expected)
    hardest = np.argsort(dequantised(facts, arrays, "accessibility")[:8], kind="stable")[:2]
    assert set(hardest) <= set(shown)


def test_too_many_examples_and_extents_are_left_out_and_told(run, histories, monkeypatch):
    monkeypatch.setattr(explorer, "_MOST_EXAMPLES", 6)
    monkeypatch.setattr(explorer, "_MOST_EXTENTS", 2)
    inputs = np.random.default_rng(0).integers(0, 256, (8, 4, 6, 1), dtype=np.uint8)
    made = make_explorer(run, histories, Material(dataset(inputs)))
    facts, arrays = read(made)
    assert facts["extents"] == [0, 4]
    assert facts["remark"] == (
        "Examples of 6 of 10: the hardest, as a half, and others drawn at random. "
        "2 of 3 extents are here."
    )
    assert sum(of["size"] for of in facts["sets"]) == len(facts["ids"]) == 6
    assert len(arrays["votes#0"]) == 12
    start = 0
    for of in facts["sets"]:
        for example in range(start, start + of["size"]):
            if of["labelled"]:
                name, own = of["name"], facts["ids"][example]
                assert arrays["labels"][example] == LABELS[name][own]
                row = own + (0 if name == "train" else 5)
                found = cut(facts, made, arrays["cells"][example])
                np.testing.assert_array_equal(found, np.broadcast_to(inputs[row], (4, 6, 3)))
        start += of["size"]


def test_texts_are_shortened_and_end_where_they_are_too_many(run, histories, monkeypatch):
    monkeypatch.setattr(explorer, "_MOST_CHARACTERS", 6)
    monkeypatch.setattr(explorer, "_MOST_TEXT", 12)
    words = ("", "one", "two")
    inputs = np.array([[1, 2, 1]] * 8, np.int32)
    fields = {"word_vectors": np.zeros((3, 2), np.float32), "words": words}
    facts, arrays = read(make_explorer(run, histories, Material(dataset(inputs, **fields))))
    assert facts["texts"] == ["one tw"] * 2 + [""] * 6
    assert facts["remark"] == "6 examples are without their text."
    assert facts["sprites"] is None
    assert "cells" not in arrays


def test_large_ids_are_text(run, histories):
    large = 1 << 60
    ids = {name: of + large if name == "train" else of for name, of in run.ids.items()}
    run = dataclasses.replace(run, examples=run.examples._replace(ids=ids))
    facts, _ = read(make_explorer(run, histories, Material(None)))
    assert facts["ids"][:2] == [str(large), str(large + 1)]
    assert facts["ids"][5] == 0


def test_the_hardest_and_a_drawn_half():
    difficulty = np.arange(100)[::-1] / 100
    chosen = choose_examples(difficulty, 10)
    assert len(set(chosen.tolist())) == 10
    assert chosen.tolist() == sorted(chosen)
    assert chosen[-5:].tolist() == [95, 96, 97, 98, 99]
    np.testing.assert_array_equal(choose_examples(difficulty, 100), np.arange(100))


def test_pictures_are_as_large_as_there_is_room_for():
    assert choose_size(8, 8, 10**6) == (8, 8, (24 << 20) // 64)
    assert choose_size(200, 100, 5) == (96, 48, 5)
    assert choose_size(64, 64, 20_000) == (32, 32, 20_000)
    assert choose_size(1, 500, 3) == (1, 96, 3)


def test_large_pictures_are_made_smaller():
    pictures = iter(np.full((1, 20, 10, 3), 7, np.uint8))
    made = make_sprites(pictures, 5, 10, 1)
    assert Image.open(io.BytesIO(made.sheets[0])).size == (5, 10)


@pytest.fixture(scope="module")
def large_page(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "report.html"
    write_page(path, {"train": 60_000, "test": 10_000}, num_members=100, num_extents=30)
    return path


def test_a_large_run_makes_a_file_of_less_than_60_mb(large_page):
    assert large_page.stat().st_size < 60e6


@pytest.fixture(scope="module")
def page(run, histories, tmp_path_factory):
    inputs = np.random.default_rng(0).integers(0, 256, (8, 4, 6, 1), dtype=np.uint8)
    made = make_explorer(run, histories, Material(dataset(inputs)))
    path = tmp_path_factory.mktemp("small") / "report.html"
    path.write_text(render_page(Page("small", "", [], [], [], made)), encoding="utf-8")
    return path


@pytest.fixture
def shown(browser, page):
    size = {"width": 1280, "height": 1200, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    browser.open_explorer(page)
    return browser


def choose(browser, control, value, event="change"):
    browser.evaluate(
        f"(() => {{ const control = document.getElementById('x-{control}');"
        f"control.value = '{value}'; control.dispatchEvent(new Event('{event}')); }})()"
    )


def text(browser, name):
    return browser.evaluate(f"document.getElementById('x-{name}').innerText")


def selection(browser):
    """The set and id of the examples of the table."""
    rows = (
        "[...document.getElementById('x-rows').rows].map(r => [...r.cells].map(c => c.innerText))"
    )
    return {(row[1], int(row[0])) for row in browser.evaluate(rows)}


def together(run, name):
    """A quantity `[E, M]` of the examples of both splits, and their names."""
    names = [(split, int(i)) for split in run.splits for i in run.ids[split]]
    return names, np.concatenate([name(split) for split in run.splits], axis=-1)


def test_filters_select_what_they_say(shown, run, histories):
    names, labels = together(run, lambda split: run.labels[split])
    _, votes = together(run, lambda split: histories[split].classes[-1])
    _, consistency = together(run, lambda split: histories[split].consistency[-1])
    assert text(shown, "status").startswith("10 of 10 examples selected; the vote is right for ")

    def where(kept):
        return {name for name, own in zip(names, kept, strict=True) if own}

    choose(shown, "label", 1)
    assert selection(shown) == where(labels == 1)
    choose(shown, "predicted", 0)
    assert selection(shown) == where((labels == 1) & (votes == 0))
    choose(shown, "label", -1)
    choose(shown, "predicted", -1)
    choose(shown, "choice", "differ")
    assert selection(shown) == where(labels != votes)
    choose(shown, "choice", "agree")
    assert selection(shown) == where(labels == votes)
    shown.evaluate("document.getElementById('x-reset').click()")
    choose(shown, "search", 4, "input")
    assert selection(shown) == {("train", 4)}
    choose(shown, "search", "", "input")
    choose(shown, "set", 1)
    assert selection(shown) == {("test", 0), ("test", 1), ("test", 2)}
    choose(shown, "set", -1)
    choose(shown, "most", 0.5)
    # Probes have no consistency.
    assert selection(shown) == where(consistency <= 0.5)
    shown.evaluate("document.querySelector('#x-chips button').click()")
    assert len(selection(shown)) == 10


def test_the_epoch_moves_the_map_and_the_histogram(shown, run, histories):
    for position, extent in enumerate(EXTENTS):
        choose(shown, "extent", position, "input")
        assert text(shown, "epoch") == f"epoch {extent}"
        label = shown.evaluate("document.getElementById('x-map').ariaLabel")
        assert f"consensus at epoch {extent} across, consistency at epoch {extent} upw" in label
        _, consistency = together(run, lambda split, at=position: histories[split].consistency[at])
        bars = shown.evaluate("document.getElementById('x-histogram').ariaLabel")
        sizes = [int(part.rpartition(" ")[2]) for part in bars.partition(". ")[2].split("; ")]
        assert sizes == [c for c in np.bincount(np.rint(consistency * N).astype(int)) if c]


def test_the_table_is_sorted_by_any_column(shown, run, histories):
    column = "[...document.querySelectorAll('#x-columns button')].find(b => b.innerText == 'id')"
    for order, reverse in (("ascending", False), ("descending", True)):
        shown.evaluate(f"{column}.click()")
        ids = shown.evaluate(
            "[...document.querySelectorAll('#x-rows button')].map(b => +b.innerText)"
        )
        assert ids == sorted(ids, reverse=reverse)
        found = "document.querySelector('#x-columns [aria-sort]:not([aria-sort=none])').ariaSort"
        assert shown.evaluate(found) == order
        column = "document.querySelector('#x-columns button')"


def test_a_drawn_rectangle_selects_the_points_in_it(shown, run, histories):
    shown.evaluate("document.getElementById('x-rectangle').click()")
    box = shown.evaluate(
        "(() => { const box = document.getElementById('x-map').getBoundingClientRect();"
        "return [box.left, box.top, box.right, box.bottom]; })()"
    )
    left, top, right, bottom = box
    middle = (top + bottom) / 2 - 15

    def drag(kind, x, y):
        event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
        shown.call("Input.dispatchMouseEvent", **event)

    drag("mousePressed", left + 10, top + 2)
    drag("mouseMoved", (left + right) / 2, middle)
    drag("mouseMoved", right - 2, middle)
    drag("mouseReleased", right - 2, middle)
    names, consistency = together(run, lambda split: histories[split].consistency[-1])
    upper = {name for name, own in zip(names, consistency, strict=True) if own > 0.5}
    assert selection(shown) == upper
    assert text(shown, "chips").startswith("drawn on the map")


def test_an_example_is_shown_with_its_votes_and_its_picture(shown, run, predictions):
    choose(shown, "set", 1)
    choose(shown, "search", 2, "input")
    shown.evaluate("document.querySelector('#x-rows button').click()")
    told = text(shown, "point")
    assert "id 2, test" in told
    votes = np.bincount(predictions["test"][-1, :, 2], minlength=K)
    for name, size in zip(run.class_names, votes, strict=True):
        assert (f"{name}" in told.partition("Votes")[2].partition("Scores")[0]) == (size > 0)
    assert "±" in told
    assert shown.evaluate("document.querySelectorAll('#x-point .x-picture').length") == 1
    shown.evaluate("document.getElementById('x-tab-cards').click()")
    assert shown.evaluate("document.querySelectorAll('#x-cards .x-picture').length") == 1


def test_keys_move_the_map_and_go_through_the_examples(shown):
    shown.evaluate("document.getElementById('x-map').focus()")
    before = text(shown, "point")
    for key in ("+", "ArrowLeft", "n"):
        shown.evaluate(
            "document.getElementById('x-map').dispatchEvent("
            f"new KeyboardEvent('keydown', {{key: '{key}', cancelable: true}}))"
        )
    assert text(shown, "point") != before
    assert shown.told("Runtime.exceptionThrown") == []


def test_the_selection_is_downloaded_as_a_table(shown, run, histories, tmp_path):
    shown.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    choose(shown, "set", 0)
    shown.evaluate("document.getElementById('x-download').click()")
    path = tmp_path / "selection.csv"
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with path.open(newline="") as file:
        rows = {int(row["id"]): row for row in csv.DictReader(file)}
    assert set(rows) == {0, 1, 2, 3, 4}
    accessibility = histories["train"].consistency.mean(axis=0)
    for example, row in rows.items():
        assert row["label"] == run.class_names[LABELS["train"][example]]
        assert float(row["accessibility"]) == pytest.approx(accessibility[example], abs=1e-4)


@pytest.fixture
def both_shown(browser, run, histories, other, tmp_path):
    shown = [
        Shown(run, of_splits(histories), "one"),
        Shown(other, of_splits(read_histories(other)), "two"),
    ]
    made = explore_runs(shown, Material(None))
    path = tmp_path / "both.html"
    path.write_text(render_page(Page("both", "", [], [], [], made)), encoding="utf-8")
    browser.open_explorer(path)
    return browser


def test_two_runs_are_shown_beside_each_other(both_shown, run, histories, other):
    of_other = read_histories(other)
    names, first = together(run, lambda split: histories[split].classes[-1] == run.labels[split])
    _, second = together(run, lambda split: of_other[split].classes[-1] == run.labels[split])
    for bits, kept in enumerate(
        [~first & ~second, first & ~second, ~first & second, first & second]
    ):
        choose(both_shown, "choice", f"both{bits}")
        expected = {name for name, own in zip(names, kept, strict=True) if own}
        assert selection(both_shown) == expected
    choose(both_shown, "choice", "all")
    assert "the vote of one is right for" in text(both_shown, "status")
    assert "the vote of two is right for" in text(both_shown, "status")
    label = both_shown.evaluate("document.getElementById('x-map').ariaLabel")
    assert "accessibility, one across, accessibility, two upwards" in label
    # Each run is as it was measured last: at epoch 1 the second one at 0.
    choose(both_shown, "extent", 1, "input")
    told = text(both_shown, "point")
    assert "of one say" in told
    assert "at epoch 1" in told
    assert "of two say" in told
    assert "Votes, two at epoch 0" in told
    assert both_shown.told("Runtime.exceptionThrown") == []


def test_a_large_run_is_shown_and_filtered(browser, large_page):
    browser.open_explorer(large_page)
    assert text(browser, "status").startswith("70,000 of 70,000 examples selected")
    choose(browser, "set", 1)
    assert text(browser, "status").startswith("10,000 of 70,000 examples selected")
    assert browser.told("Runtime.exceptionThrown") == []
