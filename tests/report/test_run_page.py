"""What the page of a run says, on runs whose scores are computed by hand."""

import base64
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from ensemble_jax.analysis import consistency_score, member_accuracy
from ensemble_jax.data import Dataset, Split
from ensemble_jax.report import exhibits, run_page, run_report
from ensemble_jax.report.exhibits import find_material, show_examples
from ensemble_jax.report.page import Bar, Card, Curve, Figure, Gallery, Highlight, Paragraph, Table
from ensemble_jax.report.run_page import SplitScores, make_page
from ensemble_jax.report.run_report import analyze

LABELS = {"train": [0, 1, 2, 0, 1, 0], "test": [0, 1, 1]}
EXTENTS = (0, 5)
PREDICTIONS = {
    # The first is right at once, the second at the end, the third never.
    "test": [[[0, 0, 0]] * 4, [[0, 1, 0]] * 3 + [[2, 1, 2]]],
    "train": [[[0, 0, 0, 0, 0, 0]] * 4, [[0, 1, 1, 0, 0, 0]] * 4],
}


@pytest.fixture(scope="module")
def run(write_run, tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    return write_run(directory, LABELS, PREDICTIONS, EXTENTS)


@pytest.fixture
def page(run):
    return page_of(run)


def page_of(run, consensus=None):
    """The page of a run, without figures."""
    scores = {
        split: SplitScores(consistency_score(correct), member_accuracy(correct))
        for split, correct in {split: run.correct(split) for split in run.splits}.items()
    }
    return make_page(run, scores, consensus or {}, figures={}, material=find_material(run))


def blocks(page, section, kind):
    chosen = next(part for part in page.sections if part.name == section)
    return [block for block in chosen.blocks if isinstance(block, kind)]


def test_the_numbers_that_everybody_asks_for(page):
    assert page.title == "st_vgg on hand"
    assert page.subtitle.startswith("6 train and 3 test examples of 3 classes; begun ")
    assert page.warnings == []
    assert page.highlights[:3] == [
        Highlight("members", "4", "to epoch 5"),
        Highlight("test accuracy", "58.3 %", "33.3 % to 66.7 %"),
        Highlight("train accuracy", "66.7 %", "66.7 % to 66.7 %"),
    ]
    # Consistency 3/4, 1, 0: the second and the third.
    assert page.highlights[-1].value == "66.7 %"


def test_extents_by_hand(page):
    (table,) = blocks(page, "learning", Table)
    assert [row[0] for row in table.rows] == ["0", "5"]
    assert table.rows[0][5:8] == [Bar("33.3 %", 1 / 3), "33.3 %", "33.3 %"]
    # 0, 1, 0 of the test examples, of two values only.
    assert table.rows[0][8] == "0.000"
    assert table.note == ""


def test_classes_by_hand_and_those_without_examples(page):
    test, train = blocks(page, "classes", Table)
    assert [row[:6] for row in test.rows] == [
        ("one", "1", Bar("75.0 %", 0.75), "43.3 %", "0.0 %", "100.0 %"),
        ("two", "2", Bar("50.0 %", 0.5), "0.0 %", "50.0 %", "50.0 %"),
    ]
    # Accessibility, then the share right in nearly all and in nearly no members.
    assert test.rows[0][6:] == ("0.875", "0.0 %", "0.0 %")
    assert test.rows[1][6:] == ("0.250", "50.0 %", "50.0 %")
    assert test.note == "1 classes have no test example."
    assert [row[0] for row in train.rows] == ["one", "two", "three"]
    assert train.note == ""


def test_many_classes_show_both_ends(run, monkeypatch):
    monkeypatch.setattr(run_page, "_MOST_CLASSES", 2)
    _, train = blocks(page_of(run), "classes", Table)
    assert [row[0] for row in train.rows] == ["one", "three"]
    assert train.note == "Without 1 classes in the middle."


def test_many_extents_are_thinned_out(write_run, monkeypatch, tmp_path):
    predictions = {split: [*of, of[-1]] for split, of in PREDICTIONS.items()}
    run = write_run(tmp_path / "run", LABELS, predictions, (*EXTENTS, 9))
    monkeypatch.setattr(run_page, "_MOST_EXTENTS", 2)
    (table,) = blocks(page_of(run), "learning", Table)
    assert [row[0] for row in table.rows] == ["0", "9"]
    assert table.note == "1 more extents are in dynamics.csv."


def test_probes_by_hand(write_run, tmp_path):
    probes = {"noise": [[[0, 1]] * 4] * 2}
    run = write_run(tmp_path / "run", LABELS, PREDICTIONS, EXTENTS, probes=probes)
    consensus = {name: np.array([0.25, 1]) for name in ("noise", "train", "test")}
    (table,) = blocks(page_of(run, consensus), "probes", Table)
    assert table.columns == ("set", "examples", "epoch 0", "epoch 5")
    assert table.rows == [
        ("noise", "2", "0.250", "1.000"),
        ("train", "6", "0.250", "1.000"),
        ("test", "3", "0.250", "1.000"),
    ]


def test_the_hardest_and_the_easiest_by_hand(page):
    hardest_test, easiest_test, hardest_train, easiest_train = blocks(page, "examples", Gallery)
    assert hardest_test.caption == "Hardest test examples"
    assert hardest_test.cards == [
        Card(
            "two",
            ("id 2", "3 of 4 say one", "accessibility 0.00"),
            Curve((0, 5), [0.0, 0.0], [1 / 3, pytest.approx(7 / 12)]),
        )
    ]
    (easiest,) = easiest_test.cards
    assert easiest.lines == ("id 0", "3 of 4 say one", "accessibility 0.88")
    assert easiest.curve.values == [1.0, 0.75]
    assert [card.lines[0] for card in hardest_train.cards] == ["id 2", "id 4", "id 1"]
    assert [card.lines[0] for card in easiest_train.cards] == ["id 0", "id 3", "id 5"]


def test_a_run_whose_data_are_not_here_says_so(page):
    told = [block.text for block in blocks(page, "examples", Paragraph)]
    assert len(told) == 2
    assert told[1].startswith("The examples are not shown, as their data cannot be read: dataset")
    assert "'hand'" in told[1]
    for gallery in blocks(page, "examples", Gallery):
        assert not any(card.picture or card.text for card in gallery.cards)


def test_a_drawing_is_in_the_page(run, tmp_path, monkeypatch):
    pages = []
    monkeypatch.setattr(run_report, "render_page", lambda page: pages.append(page) or "")
    monkeypatch.setattr(run_report, "_draw", lambda *_: (figures, []))
    figures = {}
    for name, kind in (("consistency", "svg"), ("classes", "png")):
        figures[name] = tmp_path / f"{name}.{kind}"
        figures[name].write_bytes(name.encode())
    analyze(run, tmp_path)
    for section, start in (("agreement", "data:image/svg+xml"), ("classes", "data:image/png")):
        (figure,) = blocks(pages[0], section, Figure)
        assert figure.source.startswith(f"{start};base64,")
        assert base64.b64decode(figure.source.partition(",")[2]).decode() in figures
        assert figure.description
        assert figure.caption


def test_a_large_drawing_is_a_picture(tmp_path):
    png, svg = tmp_path / "a.png", tmp_path / "a.svg"
    svg.write_bytes(b"x" * 250_000)
    assert run_report._drawing(png, svg) == svg
    svg.write_bytes(b"x" * 250_001)
    assert run_report._drawing(png, svg) == png


def facts(page, caption):
    items = next(part for part in page.sections if part.name == "configuration").blocks
    return dict(next(block for block in items if block.caption == caption).items)


def test_the_configuration_is_told(write_run, monkeypatch, tmp_path):
    nested = {"tied": ["order"], "partitions": 2, "optimizer": {"name": "sgd"}, "classes": []}
    run = write_run(tmp_path / "run", LABELS, PREDICTIONS, EXTENTS, **nested)
    manifest = dataclasses.replace(
        run.manifest,
        plan={"members_per_call": 2},
        plan_reason="the fastest",
        devices=["cpu:0", "cpu:1"],
        hyperparameters={
            "learning_rate": [0.1, 0.1, 0.2, 0.2],
            "l2": [0.0] * 4,
            "seed": [1, 2, 3, 4],
        },
        sources=[{"directory": "a", "members": [0, 1]}, {"directory": "b", "members": [2, 3]}],
    )
    monkeypatch.setattr(run_page, "_MOST_VALUES", 3)
    page = page_of(dataclasses.replace(run, manifest=manifest))
    config = facts(page, "Config")
    assert config["optimizer.name"] == "sgd"
    assert config["classes"] == "none"
    assert facts(page, "Plan") == {"members_per_call": "2", "reason": "the fastest"}
    made = facts(page, "Made with")
    assert made["devices"] == "cpu:0, cpu:1"
    assert made["speed"] == "nothing was trained"
    assert made["jax"] == manifest.versions["jax"]
    assert facts(page, "Members") == {
        "differ in": "initialisation, dropout, subset",
        "members": "0 to 3",
        "diverged": "none",
    }
    hyperparameters, sources = blocks(page, "configuration", Table)
    assert hyperparameters.rows == [
        ("learning_rate", "0.1 (2 members), 0.2 (2 members)"),
        ("seed", "4 values, 1 to 4"),
    ]
    assert [row[:2] for row in sources.rows] == [["a", "0, 1"], ["b", "2, 3"]]


def test_a_long_value_is_cut_off(write_run, tmp_path):
    run = write_run(tmp_path / "run", LABELS, PREDICTIONS, EXTENTS, name="x" * 1000)
    value = facts(page_of(run), "Config")["name"]
    assert value == "x" * 300 + "\N{HORIZONTAL ELLIPSIS}"


def test_members_that_diverged_and_extents_that_are_missing_are_named(write_run, tmp_path):
    run = write_run(tmp_path / "run", LABELS, PREDICTIONS, EXTENTS, diverged=[3])
    manifest = dataclasses.replace(run.manifest, extents=[0, 5, 9])
    page = page_of(dataclasses.replace(run, manifest=manifest))
    assert page.warnings == [
        "1 of 4 members diverged and are left out of everything below: 3 (epoch 1)",
        "The run is not finished: 2 of 3 extents are there, to epoch 5 of 9.",
    ]
    assert facts(page, "Members")["diverged"] == "3"
    assert page.highlights[0].value == "3"


@pytest.fixture
def shown(run, monkeypatch):
    """A function that shows the first and the last example of a data set in place of the run's."""

    def show(inputs, **fields):
        inputs = np.asarray(inputs)
        split = Split(inputs, np.zeros(len(inputs), np.int32), np.arange(len(inputs)))
        dataset = Dataset("own", split, split, ("a", "b"), **fields)
        monkeypatch.setattr(exhibits, "load_data_of_run", lambda run, data_dir: dataset)
        return show_examples(find_material(run), {"test": [0, len(inputs) - 1]})

    return show


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def test_bytes_are_shown_as_they_are(shown):
    inputs = np.arange(3 * 4 * 5 * 3, dtype=np.uint8).reshape(3, 4, 5, 3)
    found = shown(inputs)
    first, last = map(pixels, found.pictures["test"])
    np.testing.assert_array_equal(first, inputs[0])
    np.testing.assert_array_equal(last, inputs[2])
    assert found.remark == ""
    (grey, _) = shown(inputs[..., :1]).pictures["test"]
    np.testing.assert_array_equal(pixels(grey), inputs[0, ..., 0])


def test_numbers_are_stretched(shown):
    inputs = np.array([[-1, 0, 1], [2, 2, 2]], np.float32).reshape(2, 1, 3, 1)
    found = shown(inputs)
    assert [pixels(png).tolist() for png in found.pictures["test"]] == [[[0, 128, 255]], [[0] * 3]]
    assert "stretched" in found.remark


def test_large_pictures_become_small(shown):
    picture, _ = shown(np.zeros((2, 256, 512, 3), np.uint8)).pictures["test"]
    assert pixels(picture).shape == (64, 128, 3)


def test_texts_are_the_words_that_members_see(shown):
    words = ("", "\N{HORIZONTAL ELLIPSIS}", "how", "to")
    found = shown(
        np.array([[2, 3, 1, 0], [2, 0, 0, 0]], np.int32),
        word_vectors=np.zeros((4, 2), np.float32),
        words=words,
    )
    assert found.texts == {"test": ["how to \N{HORIZONTAL ELLIPSIS}", "how"]}
    assert found.pictures == {}


def test_what_is_neither_picture_nor_text_says_so(shown):
    found = shown(np.zeros((2, 7), np.float32))
    assert found == ({}, {}, "Examples of the shape [7] cannot be shown as pictures.")


def test_whatever_is_wrong_with_the_data_is_a_remark(run, monkeypatch):
    def fail(run, data_dir):
        raise TypeError("out of\n  order")

    monkeypatch.setattr(exhibits, "load_data_of_run", fail)
    found = show_examples(find_material(run), {"test": [0]})
    assert found.remark.endswith("cannot be read: out of order")


def test_the_data_are_looked_for_where_they_are_said_to_be(run, monkeypatch, tmp_path):
    asked = []

    def load(run, data_dir):
        asked.append(data_dir)
        raise ValueError("not there")

    monkeypatch.setattr(exhibits, "load_data_of_run", load)
    monkeypatch.setattr(run_report, "_draw", lambda *_: ({}, []))
    analyze(run, tmp_path, data_dir="there")
    assert asked == ["there"]


def test_a_curve_of_one_extent_is_a_level_line():
    curve = Curve([3], [0.5], [1.0])
    assert curve.points == "0.0,14.0 100.0,14.0"
    assert Curve([0, 1, 4], [0, 0.5, 1], [1, 1, 1]).points == "0.0,28.0 25.0,14.0 100.0,0.0"
    assert Curve([0, 1, 4], [0, 0.5, 1], [1, 1, 1]).description == "0: 0.00, 1: 0.50, 4: 1.00"


def test_a_table_has_a_cell_for_every_column():
    with pytest.raises(ValueError, match="rows of 'of two' must have 2 cells, got 1"):
        Table("of two", ("a", "b"), [("x",)])
