"""The figures of analyses beyond scores over time: what they draw, write and refuse."""

import copy
import csv

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from ensemble_jax.analysis import SCORES as ALL_SCORES
from ensemble_jax.analysis import (
    Accordance,
    Difficulty,
    EasySetSizes,
    Pattern,
    SizeDependence,
    choose_typical_examples,
    compare_easy_sets,
    consensus_score,
    consistency_score,
    cross_consistency,
    group_by_difficulty,
    member_accessibility,
    members_needed,
    most_frequent_class,
    random_consensus_distribution,
    reliability,
    score_histogram,
    score_histogram_by_class,
    size_dependence,
    split_half_correlations,
)
from ensemble_jax.figures import (
    AccessibilityDisplay,
    BoostingDisplay,
    ClassHistogramDisplay,
    ClassifierDisplay,
    ConsistencyDisplay,
    CrossConsistencyDisplay,
    DynamicsDisplay,
    EasySetsDisplay,
    ExampleCurvesDisplay,
    ProbeDisplay,
    ReliabilityDisplay,
    SettingResult,
    SettingsDisplay,
    SizeDisplay,
)

K = 5
EXTENTS = [0, 1, 2, 5, 10]
NAMES = ["hamster", "mouse", "rabbit", "shrew", "squirrel"]


def simulate(num_members, noise, seed, num_examples=200):
    """Predictions [E, N, M] of members that learn the same examples first."""
    difficulty = np.random.default_rng(0).beta(0.6, 0.6, num_examples)
    rng = np.random.default_rng(seed)
    learned = np.linspace(0.1, 0.7, len(EXTENTS))[:, None, None]
    own = rng.normal(0, noise, (len(EXTENTS), num_members, num_examples))
    wrong = (LABELS[:num_examples] + rng.integers(1, K, own.shape)) % K
    return np.where(difficulty + own < learned, LABELS[:num_examples], wrong)


LABELS = np.random.default_rng(5).integers(0, K, 200)
PREDICTIONS = simulate(12, 0.1, seed=1)
CORRECT = PREDICTIONS == LABELS
SCORES = consistency_score(CORRECT)
OTHERS = simulate(7, 0.3, seed=2) == LABELS
IMAGES = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), np.uint8)
STAGES = np.random.default_rng(3).random((6, 2, 200)) < SCORES[2] * 0.8
PROBES = {
    "noise": np.random.default_rng(4).integers(0, K, (12, 90)),
    "test": PREDICTIONS[-1],
}
CLASSIFIERS = {"SVM": OTHERS[2], "KNN": OTHERS[1, :1]}
SETTINGS = {
    "dropout": {
        "0.25": SettingResult(np.array([0.5, 0.6]), np.array([0.4, 0.2, 0.3])),
        "0.5": SettingResult(np.array([0.4, 0.5]), np.array([np.nan, 0.1])),
    },
    "optimizer": {"adam": SettingResult(np.array([0.7]), np.array([np.nan]))},
}

ARRAYS = {"correct": CORRECT, "probabilities": 0.7 * np.eye(K)[PREDICTIONS[-1]] + 0.3 / K}

MAKERS = {
    "accessibility": lambda: AccessibilityDisplay.from_members(
        {
            "st-VGG": member_accessibility(CORRECT),
            "small": member_accessibility(OTHERS),
            "one": member_accessibility(OTHERS[:, :1]),
        },
        seed=0,
        title="small_mammals, test",
    ),
    "boosting": lambda: BoostingDisplay.from_correct(STAGES, SCORES[-1], SCORES.mean(0), "test"),
    "classes": lambda: ClassHistogramDisplay.from_predictions(
        PREDICTIONS, LABELS, NAMES, EXTENTS, "st-VGG", at_most=3
    ),
    "classifiers": lambda: ClassifierDisplay.from_correct(
        CLASSIFIERS, {1: SCORES[1], 10: SCORES[-1]}, "test"
    ),
    "consistency": lambda: ConsistencyDisplay.from_correct({"test": CORRECT}, EXTENTS),
    "cross": lambda: CrossConsistencyDisplay(
        cross_consistency(SCORES, consistency_score(OTHERS), (12, 7), tolerance=0.1),
        ("st-VGG", "small"),
        (EXTENTS, [10 * extent for extent in EXTENTS]),
        (12, 7),
    ),
    "dynamics": lambda: DynamicsDisplay.from_correct({"test": CORRECT}, EXTENTS),
    "easy": lambda: EasySetsDisplay(
        compare_easy_sets(SCORES, consistency_score(OTHERS)), EXTENTS, 200, ("st-VGG", "linear")
    ),
    "examples": lambda: ExampleCurvesDisplay.of_typical_examples(SCORES, EXTENTS, IMAGES, "train"),
    "probes": lambda: ProbeDisplay.from_predictions(PROBES, K, seed=0, title="st-VGG"),
    "reliability": lambda: ReliabilityDisplay(
        {
            name: reliability(ALL_SCORES[name], ARRAYS, [1, 3, 6], 0, [1, 5], num_splits=4)
            for name in ("accessibility", "learning_time", "mutual_information")
        },
        "st-VGG, test",
    ),
    "settings": lambda: SettingsDisplay(SETTINGS, "st-VGG", reference=1.8),
    "sizes": lambda: SizeDisplay(
        {"test": size_dependence(CORRECT[-1], [1, 3, 6, 12], seed=0, num_subsets=5)}
    ),
}


@pytest.fixture(scope="module")
def displays():
    return {name: make().plot() for name, make in MAKERS.items()}


class TestEveryDisplay:
    @pytest.fixture(params=MAKERS)
    def drawn(self, request, displays):
        return displays[request.param]

    def test_saves_two_pictures_and_a_table(self, drawn, tmp_path):
        saved = [*drawn.save(tmp_path / "new" / "a.b"), drawn.save_table(tmp_path / "new" / "a.b")]
        assert [path.name for path in saved] == ["a.b.png", "a.b.svg", "a.b.csv"]
        assert sorted((tmp_path / "new").iterdir()) == sorted(saved)
        assert all(1_000 < path.stat().st_size < 300_000 for path in saved[:2])

    def test_table_has_the_same_columns_in_every_row(self, drawn, tmp_path):
        rows = drawn.table()
        assert rows
        assert {tuple(row) for row in rows} == {tuple(rows[0])}
        with drawn.save_table(tmp_path / "table").open(newline="") as file:
            written = list(csv.DictReader(file))
        assert len(written) == len(rows)
        for row, text in zip(rows, written, strict=True):
            for column, value in row.items():
                if isinstance(value, str):
                    assert text[column] == value
                else:
                    assert float(text[column]) == pytest.approx(value, rel=1e-5, nan_ok=True)

    def test_a_table_is_named_without_its_suffix(self, drawn, tmp_path):
        with pytest.raises(ValueError, match=r"without \.csv"):
            drawn.save_table(tmp_path / "table.csv")

    def test_drawing_again_gives_the_same_bytes(self, drawn, tmp_path):
        first = [path.read_bytes() for path in drawn.save(tmp_path / "figure")]
        again = [path.read_bytes() for path in drawn.plot().save(tmp_path / "figure")]
        assert first == again

    def test_writes_nothing_too_small_or_outside(self, drawn):
        drawn.figure_.draw_without_rendering()
        sizes = [text.get_fontsize() for text in drawn.figure_.findobj(Text) if text.get_text()]
        assert min(sizes) >= 8
        content, frame = drawn.figure_.get_tightbbox(), drawn.figure_.bbox_inches
        assert frame.x0 <= content.x0 < content.x1 <= frame.x1
        assert frame.y0 <= content.y0 < content.y1 <= frame.y1

    def test_names_its_axes(self, drawn):
        labels = [panel.get_xlabel() for panel in drawn.axes_.flat]
        labels.append(drawn.figure_.get_supxlabel())
        categories = [panel.get_xticklabels() for panel in drawn.axes_.flat]
        assert any(labels) or any(
            any(label.get_text().isalpha() for label in of_panel) for of_panel in categories
        )

    def test_is_drawn_in_a_panel_of_another_figure(self, drawn):
        figure = Figure(figsize=(12, 6), layout="constrained")
        mine, place = figure.subplots(1, 2)
        panels = [panel.get_title() for panel in drawn.axes_.flat]
        display = copy.copy(drawn)
        assert display.plot(place) is display
        assert display.figure_ is figure
        assert [panel.get_title() for panel in display.axes_.flat] == panels
        figure.draw_without_rendering()
        assert mine in figure.axes
        assert place not in figure.axes
        half = figure.bbox.width / 2 - 20
        assert all(panel.bbox.x0 > half for panel in display.axes_.flat)

    def test_leaves_the_users_settings_alone(self, drawn):
        before = dict(matplotlib.rcParams)
        drawn.plot()
        assert dict(matplotlib.rcParams) == before


def test_a_panel_without_a_place_is_refused():
    panel = Figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match="ax must have a place in a grid"):
        MAKERS["sizes"]().plot(panel)


class TestReliability:
    def test_draws_the_quartiles_by_members_and_extents(self, displays):
        drawn = displays["reliability"]
        members, extents = drawn.axes_
        for name, line in zip(drawn.results, members.lines, strict=True):
            result = drawn.results[name]
            assert line.get_xdata().tolist() == [1, 3, 6]
            expected = np.median(result.correlations[:, 1], axis=-1)
            np.testing.assert_allclose(line.get_ydata(), expected)
        shown = extents.lines[0]
        assert shown.get_xdata().tolist() == [1, 5]
        expected = np.median(drawn.results["accessibility"].correlations[2], axis=-1)
        np.testing.assert_allclose(shown.get_ydata(), expected)
        assert np.isnan(extents.lines[2].get_ydata()).tolist() == [True, False]
        (legend,) = drawn.figure_.legends
        assert [text.get_text() for text in legend.get_texts()] == list(drawn.results)

    def test_tells_how_many_members_it_takes(self, displays):
        drawn = displays["reliability"]
        needed = {row["score"]: row["needed"] for row in drawn.table()}
        for name, result in drawn.results.items():
            assert needed[name] == members_needed(result)

    def test_refuses_no_score(self):
        with pytest.raises(ValueError, match="at least one score"):
            ReliabilityDisplay({})


class TestAccessibility:
    def test_dots_are_the_scores(self, displays):
        drawn = displays["accessibility"]
        assert drawn.axes_.shape == (1, 3)
        (dots,) = drawn.axes_[0, 0].collections
        expected = [CORRECT.mean(axis=(0, 1)), OTHERS.mean(axis=(0, 1))]
        np.testing.assert_allclose(dots.get_offsets().T, expected, rtol=1e-5)

    def test_titles_give_r_and_the_halves(self, displays):
        panel = displays["accessibility"].axes_[0, 0]
        r = np.corrcoef(CORRECT.mean(axis=(0, 1)), OTHERS.mean(axis=(0, 1)))[0, 1]
        halves = split_half_correlations(member_accessibility(OTHERS), seed=0).mean()
        assert panel.get_title().startswith(f"r = {r:.2f} (")
        assert f"small {halves:.2f}" in panel.get_title()
        # One member has no halves.
        assert "one" not in displays["accessibility"].axes_[0, 1].get_title()

    def test_very_many_examples_are_drawn_as_density(self):
        members = np.random.default_rng(0).random((2, 6000))
        drawn = AccessibilityDisplay.from_members({"a": members, "b": members}, seed=0).plot()
        (density,) = drawn.axes_[0, 0].collections
        assert density.get_array().sum() == 6000

    def test_equal_scores_have_no_r(self):
        members = {"a": np.full((2, 3), 0.5), "b": np.eye(3)[:2]}
        drawn = AccessibilityDisplay.from_members(members, seed=0).plot()
        assert drawn.axes_[0, 0].get_title() == "r undefined"

    def test_refuses_a_single_collection(self):
        with pytest.raises(ValueError, match="at least two collections"):
            AccessibilityDisplay.from_members({"a": np.eye(3)}, seed=0)
        with pytest.raises(ValueError, match="at least one"):
            AccessibilityDisplay([])


class TestCrossConsistency:
    def test_panels_are_the_matched_pairs(self, displays):
        drawn = displays["cross"]
        result = drawn.result
        assert drawn.axes_.shape == (1, len(result.positions))
        order = result.accuracies.mean(axis=1).argsort()
        for panel, pair in zip(drawn.axes_[0], order, strict=True):
            (patch,) = panel.patches
            heights = score_histogram(result.scores[pair], 19)[1]
            np.testing.assert_array_equal(patch.get_data().values, heights)
            first, second = result.positions[pair]
            assert panel.get_title() == (
                f"accuracy {result.accuracies[pair].mean():.2f}\n"
                f"epochs {EXTENTS[first]} | {10 * EXTENTS[second]}"
            )
        assert f"{result.mean_bimodality:.2f}" in drawn.figure_.get_suptitle()

    def test_refuses_collections_that_never_match(self):
        result = cross_consistency([[0.0, 0.1]], [[0.9, 1.0]], (1, 1))
        with pytest.raises(ValueError, match="a and b have no matched extents"):
            CrossConsistencyDisplay(result, ("a", "b"), ([0], [0]), (1, 1))


class TestEasySets:
    def test_bars_are_the_sizes(self):
        sizes = EasySetSizes(np.array([1, 2]), np.array([3, 0]), np.array([0, 1]))
        panel = EasySetsDisplay(sizes, [0, 7], 10, ("a", "b")).plot().axes_[0]
        only_first, shared, only_second = panel.containers
        assert [bar.get_height() for bar in shared] == [0.1, 0.2]
        stacked = [(bar.get_y(), bar.get_height()) for bar in only_first]
        np.testing.assert_allclose(stacked, [(0.1, 0.3), (0.2, 0)], atol=1e-12)
        assert [bar.get_height() for bar in only_second] == [0, -0.1]
        assert [text.get_text() for text in panel.get_xticklabels()] == ["0", "7"]

    def test_many_extents_are_named_by_round_numbers(self):
        sizes = EasySetSizes(*[np.ones(141, int)] * 3)
        panel = EasySetsDisplay(sizes, range(141), 10, ("a", "b")).plot().axes_[0]
        expected = [str(extent) for extent in range(0, 141, 20)]
        assert [text.get_text() for text in panel.get_xticklabels()] == expected

    def test_refuses_other_extents(self):
        sizes = EasySetSizes(*[np.ones(2, int)] * 3)
        with pytest.raises(ValueError, match="E = 3 extents"):
            EasySetsDisplay(sizes, [0, 1, 2], 10, ("a", "b"))


class TestClasses:
    def test_layers_are_the_fractions_of_the_classes(self, displays):
        drawn = displays["classes"]
        classes = most_frequent_class(PREDICTIONS, K).classes
        for panel, extent in zip(drawn.axes_[0], [0, 2, 4], strict=True):
            _, fractions = score_histogram_by_class(SCORES[extent], classes[extent], K, 12)
            layers = [patch.get_data() for patch in panel.patches]
            heights = [layer.values - layer.baseline for layer in layers]
            np.testing.assert_allclose(heights, fractions, atol=1e-12)

    def test_colours_differ_and_are_explained(self, displays):
        drawn = displays["classes"]
        colours = {to_hex(patch.get_facecolor()) for patch in drawn.axes_[0, 0].patches}
        assert len(colours) == K
        (legend,) = drawn.figure_.legends
        assert [text.get_text() for text in legend.get_texts()] == NAMES[::-1]

    def test_rare_classes_are_taken_together(self):
        predictions = np.random.default_rng(0).integers(0, 12, (1, 3, 300))
        names = [f"class {k}" for k in range(12)]
        drawn = ClassHistogramDisplay.from_predictions(predictions, predictions[0, 0], names, [1])
        (legend,) = drawn.plot().figure_.legends
        texts = [text.get_text() for text in legend.get_texts()]
        assert len(texts) == 7
        assert texts[0] == "other classes"
        top = drawn.axes_[0, 0].patches[-1].get_data().values
        assert top.sum() == pytest.approx(1)

    def test_names_are_shown_as_they_are(self, tmp_path):
        names = ["$\\frac{1}{", "_hidden $x$", "\\bfseries 50%", "a_b^{2}", "$$"]
        predictions = np.arange(K)[None, None].repeat(2, axis=1)
        drawn = ClassHistogramDisplay.from_predictions(
            predictions, np.arange(K), names, [1], title="$\\undefined$"
        ).plot()
        (legend,) = drawn.figure_.legends
        assert [text.get_text() for text in legend.get_texts()] == names[::-1]
        assert drawn.figure_.get_suptitle().startswith("$\\undefined$")
        for text in drawn.figure_.findobj(Text):
            assert not text.get_parse_math()
        drawn.save(tmp_path / "figure")

    def test_refuses_classes_of_other_extents(self):
        with pytest.raises(ValueError, match="E = 1 extents"):
            ClassHistogramDisplay(SCORES, np.zeros(SCORES.shape, int), NAMES, [1], 12)


class TestExampleCurves:
    def test_curves_and_images_are_those_of_the_chosen(self, displays):
        drawn = displays["examples"]
        chosen = choose_typical_examples(SCORES)
        assert Pattern.RISES_LATE in chosen
        panel, *images = drawn.axes_
        assert [line.get_label() for line in panel.lines] == [pattern.value for pattern in chosen]
        for line, image, example in zip(panel.lines, images, chosen.values(), strict=True):
            np.testing.assert_array_equal(line.get_ydata(), SCORES[:, example])
            np.testing.assert_array_equal(image.images[0].get_array(), IMAGES[example])
            assert to_hex(image.spines["left"].get_edgecolor()) == to_hex(line.get_color())

    def test_examples_need_not_be_images(self):
        drawn = ExampleCurvesDisplay.of_typical_examples(SCORES, EXTENTS).plot()
        assert drawn.axes_.shape == (1,)

    def test_grey_images_are_drawn(self):
        curves = {"a": np.zeros(2)}
        images = {"a": np.full((4, 4, 1), 0.5)}
        drawn = ExampleCurvesDisplay(curves, [0, 1], images).plot()
        assert drawn.axes_[1].images[0].get_array().shape == (4, 4)

    @pytest.mark.parametrize(
        ("curves", "images", "message"),
        [
            ({}, {}, "curves must be 1 to 7"),
            ({str(i): np.zeros(2) for i in range(8)}, {}, "got 8"),
            ({"a": np.zeros(3)}, {}, "E = 2 extents"),
            ({"a": np.zeros(2)}, {"b": np.zeros((2, 2))}, "same examples"),
        ],
    )
    def test_refuses_what_does_not_match(self, curves, images, message):
        with pytest.raises(ValueError, match=message):
            ExampleCurvesDisplay(curves, [0, 1], images)


class TestBoosting:
    def test_lines_are_the_accuracies_of_the_groups(self, displays):
        drawn = displays["boosting"]
        groups = group_by_difficulty(SCORES[-1])
        *lines, overall = drawn.axes_[0].lines
        for line, group in zip(lines, Difficulty, strict=True):
            expected = STAGES[..., groups[group]].mean(axis=(1, 2))
            np.testing.assert_allclose(line.get_ydata(), expected)
            assert line.get_label() == f"{group.value} ({groups[group].sum()})"
        np.testing.assert_allclose(overall.get_ydata(), STAGES.mean(axis=(1, 2)))
        np.testing.assert_array_equal(overall.get_xdata(), np.arange(1, 7))

    def test_dots_are_the_difficulties(self, displays):
        drawn = displays["boosting"]
        x, y = drawn.axes_[1].collections[0].get_offsets().T
        np.testing.assert_allclose(x, 1 - STAGES.mean(axis=(0, 1)))
        np.testing.assert_allclose(y, 1 - SCORES.mean(axis=0))
        assert drawn.pearson == pytest.approx(np.corrcoef(x, y)[0, 1])
        assert drawn.axes_[1].get_title() == f"r = {drawn.pearson:.2f}"

    def test_one_difficulty_for_all_has_no_r(self):
        drawn = BoostingDisplay.from_correct(np.ones((2, 1, 3), bool), [1, 0, 0.5], [1, 0, 0.5])
        assert np.isnan(drawn.pearson)
        assert drawn.plot().axes_[1].get_title() == "r undefined"

    def test_refuses_other_examples(self):
        with pytest.raises(ValueError, match="network_accessibility must be of the 3 examples"):
            BoostingDisplay.from_correct(np.ones((2, 1, 3)), [1, 0, 0.5], [1, 0])


class TestClassifiers:
    def test_bars_are_the_fractions(self, displays):
        panel = displays["classifiers"].axes_[0, 1]
        right = SCORES[-1] > 0.5
        for bars, of in zip(panel.containers, (right, ~right), strict=True):
            expected = [members[:, of].mean() for members in CLASSIFIERS.values()]
            np.testing.assert_allclose([bar.get_height() for bar in bars], expected)
        heights = [segment[0, 1] for segment in panel.collections[0].get_segments()]
        np.testing.assert_allclose(heights, [of.mean() for of in CLASSIFIERS.values()])
        assert [text.get_text() for text in panel.get_xticklabels()] == list(CLASSIFIERS)
        assert panel.get_title() == "networks at epoch 10"

    @pytest.mark.parametrize(
        ("accordances", "message"),
        [({}, "at least one extent"), ({1: {"b": Accordance(1, 0)}}, r"got \['b'\] at epoch 1")],
    )
    def test_refuses_what_does_not_match(self, accordances, message):
        with pytest.raises(ValueError, match=message):
            ClassifierDisplay(accordances, {"a": 0.5})


class TestSizes:
    def test_lines_are_medians_without_what_is_undefined(self):
        of = SizeDependence(
            np.array([1, 2]),
            np.array([[0.1, 0.3, 0.5], [0.2, 0.2, 0.4]]),
            np.array([[0.5, 0.7, 0.9], [np.nan] * 3]),
        )
        upper, lower = SizeDisplay({"test": of}).plot().axes_
        np.testing.assert_allclose(upper.lines[0].get_xydata(), [[1, 0.3], [2, 0.2]])
        np.testing.assert_allclose(lower.lines[0].get_xydata(), [[1, 0.7]])

    def test_refuses_nothing(self):
        with pytest.raises(ValueError, match="at least one"):
            SizeDisplay({})


class TestSettings:
    def test_dots_and_lines_are_those_of_the_results(self, displays):
        accuracy, shape = displays["settings"].axes_
        np.testing.assert_allclose(accuracy.lines[0].get_xdata(), [0.55, 0.45, 0.7])
        np.testing.assert_allclose(shape.lines[0].get_xdata(), [0.3, 0.1, np.nan])
        first, second, *_ = shape.collections[0].get_segments()
        np.testing.assert_allclose([first[:, 0], second[:, 0]], [[0.2, 0.4], [0.1, 0.1]])
        places = accuracy.lines[0].get_ydata()
        # An option is set apart from the one before.
        assert places[2] - places[1] > places[1] - places[0]
        assert [text.get_text() for text in accuracy.get_yticklabels()] == [
            "dropout 0.25",
            "dropout 0.5",
            "optimizer adam",
        ]

    def test_the_reference_is_inside(self, displays):
        shape = displays["settings"].axes_[1]
        assert shape.lines[1].get_xdata()[0] == 1.8
        assert shape.get_xlim()[1] > 1.8

    def test_refuses_nothing(self):
        for results in ({}, {"dropout": {}}):
            with pytest.raises(ValueError, match="at least one option"):
                SettingsDisplay(results)
        with pytest.raises(ValueError, match="got none for dropout 0"):
            SettingsDisplay({"dropout": {"0": SettingResult(np.array([]), np.array([0.1]))}})


class TestProbes:
    def test_histograms_are_those_of_the_probes(self, displays):
        drawn = displays["probes"]
        assert [panel.get_title() for panel in drawn.axes_[0]] == ["random classes", *PROBES]
        for panel, predictions in zip(drawn.axes_[0, 1:], PROBES.values(), strict=True):
            heights = score_histogram(consensus_score(predictions, K), 12)[1]
            np.testing.assert_array_equal(panel.patches[0].get_data().values, heights)

    def test_random_classes_have_their_exact_distribution(self, displays):
        heights = displays["probes"].axes_[0, 0].patches[0].get_data().values
        np.testing.assert_allclose(heights, [0, *random_consensus_distribution(12, K)])

    def test_table_has_the_means(self, displays):
        noise, test = displays["probes"].table()
        assert test["consensus"] == pytest.approx(consensus_score(PROBES["test"], K).mean())
        assert noise["consensus"] == pytest.approx(noise["independent"], abs=0.05)
        assert test["consensus"] > test["independent"] + 0.1

    def test_refuses_probes_of_different_collections(self):
        with pytest.raises(ValueError, match="same number of members"):
            ProbeDisplay.from_predictions({"a": PREDICTIONS[0], "b": PREDICTIONS[0, :3]}, K, 0)
        with pytest.raises(ValueError, match="same probes"):
            ProbeDisplay({}, {}, 3, K)
