import doctest
import os
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from ensemble_jax.analysis import (
    bimodality,
    consensus_score,
    consistency_score,
    independent_baseline,
    member_accuracy,
    score_histogram,
)
from ensemble_jax.figures import (
    ConsensusDisplay,
    ConsistencyDisplay,
    Display,
    DynamicsDisplay,
    HistogramGrid,
    display,
)

NUM_CLASSES = 5
EXTENTS = [0, 1, 2, 5, 10, 20, 30, 60, 80, 100]
SHOWN = [0, 2, 5, 20, 30, 80, 100]


def simulate(num_members: int, num_examples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions [E, N, M] and labels of members that learn the same examples first."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, NUM_CLASSES, num_examples)
    difficulty = rng.beta(0.5, 0.5, num_examples)
    learned = np.linspace(0, 0.9, len(EXTENTS))[:, None, None]
    noise = rng.normal(0, 0.05, (len(EXTENTS), num_members, num_examples))
    wrong = (labels + rng.integers(1, NUM_CLASSES, noise.shape)) % NUM_CLASSES
    return np.where(difficulty < learned + noise, labels, wrong), labels


PREDICTIONS, LABELS = simulate(num_members=20, num_examples=300, seed=0)
TRAIN_PREDICTIONS, TRAIN_LABELS = simulate(num_members=20, num_examples=700, seed=1)
BASELINE = independent_baseline(member_accuracy(PREDICTIONS == LABELS), LABELS, NUM_CLASSES, seed=0)
CORRECT = {
    "train": TRAIN_PREDICTIONS == TRAIN_LABELS,
    "test": PREDICTIONS == LABELS,
    "independent": BASELINE == LABELS,
}


@pytest.fixture(scope="module")
def consistency() -> ConsistencyDisplay:
    return ConsistencyDisplay.from_correct(CORRECT, EXTENTS, title="st-VGG, small_mammals").plot()


@pytest.fixture(scope="module")
def consensus() -> ConsensusDisplay:
    rows = {"test": PREDICTIONS, "independent": BASELINE}
    return ConsensusDisplay.from_predictions(rows, NUM_CLASSES, EXTENTS, "st-VGG").plot()


@pytest.fixture(scope="module")
def dynamics() -> DynamicsDisplay:
    return DynamicsDisplay.from_correct(CORRECT, EXTENTS, title="st-VGG").plot()


@pytest.fixture(params=["consistency", "consensus", "dynamics"])
def drawn(request) -> Display:
    return request.getfixturevalue(request.param)


class TestHistograms:
    def test_heights_are_the_fractions_of_examples(self, consistency):
        assert consistency.axes_.shape == (3, 7)
        for row, bitmap in zip(consistency.axes_, CORRECT.values(), strict=True):
            for panel, extent in zip(row, SHOWN, strict=True):
                scores = consistency_score(bitmap[EXTENTS.index(extent)])
                edges, fractions = score_histogram(scores, 20)
                (patch,) = panel.patches
                np.testing.assert_array_equal(patch.get_data().values, fractions)
                np.testing.assert_array_equal(patch.get_data().edges, edges)

    def test_consensus_heights_are_the_fractions_of_examples(self, consensus):
        assert consensus.axes_.shape == (2, 7)
        for row, predictions in zip(consensus.axes_, [PREDICTIONS, BASELINE], strict=True):
            for panel, extent in zip(row, SHOWN, strict=True):
                scores = consensus_score(predictions[EXTENTS.index(extent)], NUM_CLASSES)
                (patch,) = panel.patches
                np.testing.assert_array_equal(
                    patch.get_data().values, score_histogram(scores, 20)[1]
                )

    def test_labels_say_what_is_shown(self, consistency, consensus):
        assert [panel.get_title() for panel in consistency.axes_[0]] == [
            f"epoch {extent}" for extent in SHOWN
        ]
        assert [row[0].get_ylabel() for row in consistency.axes_] == list(CORRECT)
        assert consistency.figure_.get_suptitle() == "st-VGG, small_mammals, N = 20"
        assert consistency.figure_.get_supxlabel() == "consistency score"
        assert consensus.figure_.get_supxlabel() == "consensus score"
        assert consensus.figure_.get_supylabel() == "fraction of examples\n(square-root scale)"

    def test_each_panel_gives_its_mean_and_bimodality(self, consistency):
        for row, bitmap in zip(consistency.axes_, CORRECT.values(), strict=True):
            for panel, extent in zip(row, SHOWN, strict=True):
                scores = consistency_score(bitmap[EXTENTS.index(extent)])
                expected = f"mean {scores.mean():.2f}\nbimodality {bimodality(scores):.2f}"
                assert [text.get_text() for text in panel.texts] == [expected]

    def test_undefined_bimodality_is_said_to_be(self):
        panel = HistogramGrid({"train": np.ones((1, 4))}, [3], 2).plot().axes_[0, 0]
        assert panel.texts[0].get_text() == "mean 1.00\nbimodality n/a"

    def test_the_axis_holds_every_fraction_and_the_numbers_above(self):
        panel = HistogramGrid({"train": np.ones((1, 4))}, [3], 2).plot().axes_[0, 0]
        assert panel.get_ylim()[0] == 0
        assert panel.get_ylim()[1] > 1.5
        assert panel.patches[0].get_data().values.max() == 1

    def test_a_row_may_have_its_own_number_of_examples(self):
        rows = {"train": np.zeros((2, 4)), "probe": np.ones((2, 9))}
        assert HistogramGrid(rows, [0, 1], 3).plot().axes_.shape == (2, 2)

    def test_title_is_not_needed(self):
        grid = HistogramGrid({"train": np.ones((1, 4))}, [3], 2).plot()
        assert grid.figure_.get_suptitle() == "N = 2"

    @pytest.mark.parametrize(
        ("scores", "extents", "message"),
        [
            ({}, [0], "at least one row"),
            ({"test": np.zeros((2, 3))}, [0], r"scores of test must be \[E, M\] with E = 1"),
            ({"test": np.zeros(3)}, [0, 1, 2], r"scores of test must be \[E, M\] with E = 3"),
        ],
    )
    def test_refuses_scores_that_do_not_match(self, scores, extents, message):
        with pytest.raises(ValueError, match=message):
            HistogramGrid(scores, extents, 3)

    def test_refuses_rows_of_different_collections(self):
        rows = {"one": np.ones((1, 2, 3), bool), "other": np.ones((1, 4, 3), bool)}
        with pytest.raises(ValueError, match="same number of members"):
            ConsistencyDisplay.from_correct(rows, [0])


class TestDynamics:
    def test_lines_are_means_and_bimodalities(self, dynamics):
        for index, bitmap in enumerate(CORRECT.values()):
            accuracy, shape = (panel.lines[index] for panel in dynamics.axes_)
            np.testing.assert_array_equal(accuracy.get_xdata(), EXTENTS)
            np.testing.assert_array_equal(accuracy.get_ydata(), member_accuracy(bitmap).mean(1))
            np.testing.assert_array_equal(shape.get_ydata(), bimodality(consistency_score(bitmap)))

    def test_bands_span_the_members(self, dynamics):
        for band, bitmap in zip(dynamics.axes_[0].collections, CORRECT.values(), strict=True):
            accuracies = member_accuracy(bitmap)
            at_extents = band.get_paths()[0].vertices
            for position, extent in enumerate(EXTENTS):
                heights = at_extents[at_extents[:, 0] == extent, 1]
                assert heights.min() == accuracies[position].min()
                assert heights.max() == accuracies[position].max()

    def test_labels_say_what_is_shown(self, dynamics):
        upper, lower = dynamics.axes_
        assert upper.get_ylabel().startswith("accuracy")
        assert lower.get_ylabel().startswith("bimodality")
        assert lower.get_xlabel() == "epoch"
        assert [text.get_text() for text in upper.get_legend().get_texts()] == list(CORRECT)
        assert dynamics.figure_.get_suptitle() == "st-VGG, N = 20"

    def test_undefined_bimodality_leaves_a_gap(self):
        correct = np.zeros((3, 2, 4), bool)
        correct[1, :, 0] = True
        line = DynamicsDisplay.from_correct({"train": correct}, [0, 1, 2]).plot().axes_[1].lines[0]
        np.testing.assert_allclose(line.get_ydata(), [np.nan, 0, np.nan], atol=1e-12)
        assert line.get_marker() == "o"

    def test_does_not_zoom_into_rounding(self):
        values = {"train": np.array([1e-31, 0.0])}
        display = DynamicsDisplay({"train": np.zeros((2, 1))}, values, [0, 1]).plot()
        assert display.axes_[1].get_ylim()[1] >= 1

    @pytest.mark.parametrize(
        ("accuracies", "bimodalities", "message"),
        [
            ({}, {}, "the same sets, at least one"),
            ({"train": np.zeros((2, 3))}, {"test": np.zeros(2)}, "the same sets"),
            ({"train": np.zeros((3, 3))}, {"train": np.zeros(2)}, "E = 2"),
            ({"train": np.zeros((2, 3))}, {"train": np.zeros(3)}, "E = 2"),
            ({"train": np.zeros(2)}, {"train": np.zeros(2)}, "E = 2"),
        ],
    )
    def test_refuses_what_does_not_match(self, accuracies, bimodalities, message):
        with pytest.raises(ValueError, match=message):
            DynamicsDisplay(accuracies, bimodalities, [0, 1])


class TestEveryDisplay:
    def test_is_not_written_through_a_link(self, consistency, tmp_path):
        victim = tmp_path / "victim"
        victim.write_text("mine")
        for kind in ("png", "svg"):
            (tmp_path / f".figure.{kind}.{os.getpid()}.tmp").symlink_to(victim)
            (tmp_path / f"figure.{kind}").symlink_to(victim)
        for path in consistency.save(tmp_path / "figure"):
            assert not path.is_symlink()
        assert victim.read_text() == "mine"
        assert len(list(tmp_path.iterdir())) == 3

    def test_saves_both_files_and_nothing_else(self, drawn, tmp_path):
        saved = drawn.save(tmp_path / "new folder" / "lr_0.05")
        assert [path.name for path in saved] == ["lr_0.05.png", "lr_0.05.svg"]
        assert sorted((tmp_path / "new folder").iterdir()) == list(saved)
        png, svg = (path.read_bytes() for path in saved)
        assert png.startswith(b"\x89PNG")
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert 1_000 < len(png) < 300_000
        assert 1_000 < len(svg) < 300_000

    def test_saves_the_same_bytes_again(self, drawn, tmp_path):
        first = [path.read_bytes() for path in drawn.save(tmp_path / "figure")]
        again = [path.read_bytes() for path in drawn.save(tmp_path / "figure")]
        redrawn = [path.read_bytes() for path in drawn.plot().save(tmp_path / "figure")]
        assert first == again == redrawn

    def test_keeps_the_old_file_when_writing_fails(self, drawn, tmp_path, monkeypatch):
        path, _ = drawn.save(tmp_path / "figure")
        before = path.read_bytes()

        def fail(target, **_):
            target.write(b"half")
            raise OSError("disk full")

        monkeypatch.setattr(drawn.figure_, "savefig", fail)
        with pytest.raises(OSError, match="disk full"):
            drawn.save(tmp_path / "figure")
        assert path.read_bytes() == before
        assert len(list(tmp_path.iterdir())) == 2

    @pytest.mark.parametrize("name", ["figure.png", "figure.svg"])
    def test_refuses_a_suffix(self, drawn, tmp_path, name):
        with pytest.raises(ValueError, match=r"without .png or .svg"):
            drawn.save(tmp_path / name)

    def test_writes_nothing_too_small_or_outside(self, drawn):
        drawn.figure_.draw_without_rendering()
        sizes = [text.get_fontsize() for text in drawn.figure_.findobj(Text) if text.get_text()]
        assert min(sizes) >= 8
        content, frame = drawn.figure_.get_tightbbox(), drawn.figure_.bbox_inches
        assert frame.x0 <= content.x0 < content.x1 <= frame.x1
        assert frame.y0 <= content.y0 < content.y1 <= frame.y1

    def test_numbers_fit_into_their_panel(self, drawn):
        drawn.figure_.draw_without_rendering()
        for panel in drawn.axes_.flat:
            for text in panel.texts:
                numbers, frame = text.get_window_extent(), panel.get_window_extent()
                assert frame.x0 <= numbers.x0 < numbers.x1 <= frame.x1
                highest = panel.transData.transform((0, 1))[1]
                assert highest <= numbers.y0

    def test_leaves_the_users_settings_alone(self, drawn):
        before = dict(matplotlib.rcParams)
        drawn.plot()
        assert dict(matplotlib.rcParams) == before

    def test_a_set_has_the_same_colour_everywhere(self, consistency, consensus, dynamics):
        colours = {
            to_hex(patch)
            for patch in (
                consistency.axes_[1, 0].patches[0].get_facecolor(),
                consensus.axes_[0, 0].patches[0].get_facecolor(),
                dynamics.axes_[0].lines[1].get_color(),
            )
        }
        assert len(colours) == 1


def test_saving_draws_when_nothing_has(tmp_path):
    png, svg = HistogramGrid({"train": np.ones((1, 4))}, [3], 2).save(str(tmp_path / "figure"))
    assert png.stat().st_size > 1_000
    assert svg.stat().st_size > 1_000


def test_examples_are_true():
    assert doctest.testmod(display) == (0, 1)


def test_needs_neither_jax_nor_a_window():
    program = (
        "import sys, ensemble_jax.figures; print({'jax', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"
