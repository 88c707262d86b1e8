"""Figures of the paper by one command: what each needs, how each is drawn, what is refused."""

import csv
import json
import math
import re

import numpy as np
import pytest

from ensemble_jax import load_run
from ensemble_jax.report.sweep_report import Sweep
from ensemble_jax.reproduction import estimate
from ensemble_jax.reproduction.figures import FIGURES, choose_figures
from ensemble_jax.reproduction.listing import list_briefly
from ensemble_jax.reproduction.material import (
    Collection,
    Material,
    extents_to_show,
    nearest_extents,
)
from ensemble_jax.reproduction.published import read_published
from ensemble_jax.reproduction.recipes import RECIPES, STAND_INS, Scale
from ensemble_jax.reproduction.results import NUMBERS, compare_with_published, write_figure
from ensemble_jax.reproduction.trainings import Sources, Training, check_run, resolve

PAPER_NUMBERS = [str(number) for number in range(1, 32)]


class TestRegistry:
    def test_all_figures_are_there(self):
        parts = {number.rstrip("abc") for number in FIGURES}
        assert parts == {*PAPER_NUMBERS, "robustness"}

    @pytest.mark.parametrize("scale", Scale)
    @pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
    def test_every_figure_has_configs_at_every_scale(self, figure, scale):
        names = figure.needs(scale)
        assert names
        for name in names:
            config = RECIPES[name].config(scale)
            config.word_vectors = "glove.txt" if config.dataset == "stackoverflow" else ""
            config.validate()
            if scale is Scale.HOUR:
                assert len(config.member_ids) >= 8
        if figure.sweeps is not None:
            sweeps = figure.sweeps(RECIPES[names[0]].config(scale), scale)
            for sweep in sweeps.values():
                sweep.validate()

    def test_robustness_varies_every_option_of_the_paper(self):
        """Not the setting itself, which is trained once."""
        figure = FIGURES["robustness"]
        for scale in Scale:
            base = RECIPES[figure.needs(scale)[0]].config(scale)
            sweeps = figure.sweeps(base, scale)
            options = {"learning_rate", "decay_factor", "batch_size", "dropout_scale", "l2"}
            options |= {"width", "depth", "kernel_size", "activation", "initialiser"}
            options |= {f"optimizer {name}" for name in ("momentum", "adam", "adadelta")}
            assert sweeps.keys() == options
            for sweep in sweeps.values():
                for values in sweep.settings:
                    assert sweep.with_values(values) != base

    def test_at_the_papers_scale_members_and_extents_are_the_papers(self):
        sizes = {
            "imagenet2012_resnet50": 27,
            "imagenet2012_alexnet": 22,
            "imagenet2012_densenet121": 6,
            "cifar100_vgg19": 20,
            "cifar10_vgg19": 19,
            "vggface2_st_vgg": 20,
            "fashion_mnist_parts": 6000,
        }
        for name, recipe in RECIPES.items():
            assert recipe.config(Scale.PAPER).num_members == sizes.get(name, 100)

    @pytest.mark.parametrize(
        ("number", "extents"),
        [
            ("1", (1, 2, 5, 30, 40, 70, 100)),
            ("9", (0, 1, 5, 20, 30, 40, 50)),
            ("13", (0, 10, 30, 60, 90, 120, 140)),
            ("20", (0, 10, 30, 60, 90, 120, 140)),
            ("22", (0, 1, 5, 10, 20, 30, 40)),
        ],
    )
    def test_recipes_are_measured_at_the_published_extents(self, number, extents):
        for name in FIGURES[number].collections:
            recorded = RECIPES[name].paper.extents
            wanted = extents if number != "20" else (0, 30, 60, 90, 120, 140)
            assert set(wanted) <= set(recorded)

    def test_numbers_are_of_known_figures(self):
        published = read_published()
        assert published.keys() <= FIGURES.keys()
        for numbers in published.values():
            assert all(number.source for number in numbers)

    def test_a_number_without_a_letter_is_all_parts(self):
        assert [f.number for f in choose_figures(["25", "7", "25a"])] == ["25a", "25b", "25c", "7"]
        assert len(choose_figures(["all"])) == len(FIGURES)


HOUR = {
    "small_mammals_st_vgg": {
        "extents": tuple(range(31)),
        "probes": ("noise:300", "test_of:household_furniture", "test_of:fish"),
    },
    "small_mammals_linear_st_vgg": {"extents": tuple(range(31)), "probes": ()},
    "small_mammals_small_st_vgg": {"extents": tuple(range(31)), "probes": ()},
    "fish_st_vgg": {"dataset": "fish", "extents": (0, 1, 5, 10, 20, 30)},
    "small_mammals_random_labels": {"random_labels": True, "extents": (0, 1, 5, 10, 20, 30)},
    "mnist_mnist_net": {
        "train_fraction": 0.05,
        "learning_rate": 1.0,
        "extents": (0, 1, 2, 3, 5, 10, 20, 30),
    },
    "fashion_mnist_st_vgg": {"train_fraction": 0.05, "extents": (0, 1, 5, 10, 20, 30)},
    "fashion_mnist_parts": {
        "train_fraction": 0.0333334,
        "partitions": 2,
        "num_members": 16,
        "extents": (0, 1, 5, 10, 20, 30),
    },
    "gabor_st_vgg": {"extents": (0, 1, 5, 10, 20, 40)},
    "gaussian_fully_connected": {"num_members": 10, "extents": (0, 1, 2, 3, 5, 10, 20)},
}


@pytest.mark.parametrize(("name", "fields"), HOUR.items(), ids=list(HOUR))
def test_stored_results_are_of_these_configs(name, fields):
    """Whoever changes one of these makes the stored results of the hour's scale unusable."""
    config = RECIPES[name].config(Scale.HOUR)
    for field, value in ({"num_members": 8, "width": 0} | fields).items():
        assert getattr(config, field) == value, field


class TestExtents:
    def test_published_ones_are_taken_where_they_are(self):
        assert extents_to_show(range(141), [0, 10, 30, 140]) == [0, 10, 30, 140]

    def test_a_shorter_training_is_shown_at_the_same_shares(self):
        assert extents_to_show(range(31), [0, 10, 30, 60, 90, 120, 140]) == [
            0,
            2,
            6,
            13,
            19,
            26,
            30,
        ]

    def test_nearest_are_taken_once(self):
        assert nearest_extents([0, 5, 10], [1, 2, 9, 200]) == [0, 10]


class TestSources:
    """Which data set is learned; no data set is there."""

    @pytest.fixture
    def nothing(self, tmp_path):
        return Sources(data_dir=str(tmp_path))

    @pytest.mark.parametrize("name", ["mnist_mnist_net", "small_mammals_st_vgg", "cifar10_st_vgg"])
    def test_what_is_absent_is_named_with_how_to_get_it(self, nothing, name):
        dataset = {"small": "cifar100"}.get(name.split("_")[0], name.split("_")[0])
        for scale in Scale:
            message = f"{dataset} is not prepared in data_dir .*to prepare it: pip install"
            with pytest.raises(ValueError, match=message):
                resolve(RECIPES[name], scale, nothing)

    def test_a_stand_in_that_is_absent_too_is_named(self, nothing):
        with pytest.raises(ValueError, match="fashion_mnist, which would do: fashion_mnist is not"):
            resolve(RECIPES["mnist_mnist_net"], Scale.QUICK, nothing)

    def test_imagenet_at_the_papers_scale_says_how(self, nothing):
        recipe = RECIPES["imagenet2012_resnet50"]
        with pytest.raises(ValueError, match="--datasets=imagenet2012=NAME"):
            resolve(recipe, Scale.PAPER, nothing)

    def test_texts_need_word_vectors(self, nothing):
        with pytest.raises(ValueError, match="word_vectors must name a file"):
            resolve(RECIPES["stackoverflow_bilstm"], Scale.QUICK, nothing)

    def test_synthetic_sets_are_always_there(self, nothing):
        for name in ("gabor_st_vgg", "gaussian_fully_connected"):
            training = resolve(RECIPES[name], Scale.QUICK, nothing)
            assert (training.name, training.in_place_of) == (name, "")

    def test_another_set_is_taken_and_said(self, toy_set):
        sources = Sources(datasets={"mnist": f"npz:{toy_set}"})
        training = resolve(RECIPES["mnist_mnist_net"], Scale.PAPER, sources)
        assert training.config.dataset == f"npz:{toy_set}"
        assert training.name == "toy_for_mnist_mnist_net"
        assert training.title == "MNIST network on toy.npz (in place of mnist)"

    def test_a_collection_that_exists_needs_no_data(self, nothing):
        recipe = RECIPES["mnist_mnist_net"]
        for name in ("mnist_mnist_net", "fashion_mnist_mnist_net"):
            assert resolve(recipe, Scale.HOUR, nothing, trained=[name]).name == name

    def test_stand_ins_are_for_sets_of_recipes(self):
        assert STAND_INS.keys() <= {recipe.paper.dataset for recipe in RECIPES.values()}

    @pytest.mark.filterwarnings("ignore:.*are train examples, too")
    def test_of_a_real_stand_in(self, real_data):
        """Nothing but CIFAR-100, Fashion-MNIST and TREC is there."""
        sources = Sources(
            str(real_data / "tensorflow_datasets"), str(real_data / "text" / "glove.50d.txt")
        )
        training = resolve(RECIPES["cifar10_st_vgg"], Scale.QUICK, sources)
        assert training.name == "ten_of_cifar100_st_vgg"
        assert training.config.train_fraction == pytest.approx(0.4)
        assert training.title == "st-VGG on 10 classes of cifar100 (in place of cifar10)"
        training = resolve(RECIPES["mnist_mnist_net"], Scale.HOUR, sources)
        assert training.name == "fashion_mnist_mnist_net"
        assert training.config.train_fraction == 0.05


@pytest.fixture(scope="module")
def second(binaries, toy_job, tmp_path_factory):
    """A run of another depth on the examples of `undisturbed`, which it also asks about noise."""
    directory = tmp_path_factory.mktemp("second") / "run"
    options = ("--config.depth=1", "--config.probes=noise:20", f"--workdir={directory}")
    assert binaries.run("train", *toy_job, *options).returncode == 0
    return load_run(directory)


@pytest.fixture(scope="module")
def parts(binaries, toy_job, tmp_path_factory):
    directory = tmp_path_factory.mktemp("parts") / "run"
    options = ("--config.partitions=2", f"--workdir={directory}")
    assert binaries.run("train", *toy_job, *options).returncode == 0
    return load_run(directory)


@pytest.fixture(scope="module")
def sweep(binaries, toy_job, tmp_path_factory):
    directory = tmp_path_factory.mktemp("sweep") / "rates"
    vary = "--vary=learning_rate=0.01,0.1"
    assert binaries.run("sweep", *toy_job, vary, f"--workdir={directory}").returncode == 0
    settings = [{"learning_rate": 0.01}, {"learning_rate": 0.1}]
    return Sweep(directory, settings, [load_run(directory / "all")], [(0, 0), (0, 1)])


@pytest.fixture
def make_material(undisturbed, second, parts, sweep):
    """What a figure is drawn from, on tiny runs instead of its own."""
    runs = [load_run(undisturbed), second, second]

    def make(figure):
        collections = {}
        for name, run in zip(figure.needs(Scale.QUICK), runs, strict=False):
            recipe = RECIPES[name]
            chosen = parts if name.endswith("parts") else second if figure.number == "5" else run
            training = Training(recipe.name, recipe.config(Scale.QUICK), "ImageNet")
            collections[name] = Collection(training, chosen)
        sweeps = {"learning_rate": sweep} if figure.sweeps else {}
        return Material(Scale.QUICK, collections, sweeps)

    return make


@pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
def test_every_figure_is_drawn_and_measured(figure, make_material, tmp_path):
    """And what the paper has a number for is measured."""
    material = make_material(figure)
    drawing = figure.draw(material)
    assert drawing.displays
    assert all(isinstance(value, float) for value in drawing.numbers.values())
    written = write_figure(figure, drawing, material, tmp_path)
    assert len(written) == 2 * len(drawing.displays) + 1
    for path in written:
        assert path.stat().st_size > 0
        if path.suffix == ".png":
            assert path.with_suffix(".svg").is_file()
            with path.with_suffix(".csv").open(newline="") as file:
                assert list(csv.DictReader(file))
    content = json.loads((tmp_path / NUMBERS).read_text())
    assert content["stand_in"] is True
    assert [c["in_place_of"] for c in content["collections"]] == ["ImageNet"] * len(
        material.collections
    )
    told = {number["name"]: number for number in content["numbers"]}
    assert told.keys() == drawing.numbers.keys()
    for number in read_published().get(figure.number, []):
        assert (told[number.name]["published"], told[number.name]["source"]) == number[1:]
    for name, value in drawing.numbers.items():
        assert told[name]["measured"] == (None if math.isnan(value) else pytest.approx(value))


def test_titles_say_what_stands_for_what(make_material):
    drawing = FIGURES["1"].draw(make_material(FIGURES["1"]))
    (display,) = drawing.displays.values()
    title = display.plot().figure_.get_suptitle()
    assert "(in place of ImageNet)" in title


def test_numbers_are_those_of_the_run(undisturbed, make_material):
    figure = FIGURES["9"]
    drawing = figure.draw(make_material(figure))
    run = load_run(undisturbed)
    for split in ("train", "test"):
        accuracy = run.correct(split)[-1].mean()
        measured = drawing.numbers[f"{split} accuracy in the end, st-VGG"]
        assert measured == pytest.approx(accuracy)
    numbers = compare_with_published(figure, drawing)
    assert [number.published for number in numbers[:3]] == [1.07, 1.35, 1.0]


def test_own_parts_are_what_members_were_trained_on(parts, make_material):
    """By hand: of the members of a part the mean over the examples that they were given."""
    drawing = FIGURES["22"].draw(make_material(FIGURES["22"]))
    correct, own = parts.correct("train")[-1], parts.train_mask
    assert own.sum() == own.size / 2
    expected = correct[own].mean()
    assert drawing.numbers["mean accuracy in the end, own part"] == pytest.approx(expected)


class TestRunsThatLieElsewhere:
    def test_the_model_must_fit(self, undisturbed):
        training = Training("gabor_st_vgg", RECIPES["gabor_st_vgg"].config(Scale.QUICK))
        with pytest.raises(ValueError, match="must have the model st_vgg, got fully_connected"):
            check_run(training, load_run(undisturbed))

    def test_the_data_set_must_fit(self, undisturbed):
        recipe = RECIPES["gaussian_fully_connected"]
        training = Training(recipe.name, recipe.config(Scale.QUICK))
        with pytest.raises(ValueError, match="must have the dataset gaussian, got npz:"):
            check_run(training, load_run(undisturbed))


class TestBinary:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--figure=99"], "--figure must be of 1, 2, "),
            (["--figure=robust"], "got 'robust' (is robustness meant?)"),
            ([], "--figure must name at least one figure"),
            (["--figure=13", "--data_dir=nowhere"], "data_dir must be a folder of sets prepared"),
            (["--figure=10", "--scale=huge"], "value should be one of <quick|hour|paper>"),
            (["--figure=10", "--runs=gaussian"], "--runs must be NAME=VALUE"),
            (["--figure=10", "--runs=gabor=x"], "--runs must be of gaussian_fully_connected"),
            (["--figure=10", "--datasets=gaussian=gausian"], "is 'gaussian' meant?"),
        ],
    )
    def test_mistakes_are_answered_in_a_line(self, binaries, arguments, message):
        answer = binaries.run("reproduce", *arguments)
        assert answer.returncode == 2
        assert message in answer.error
        assert "jax" not in answer.modules

    def test_from_the_command_line_to_the_numbers(self, binaries, toy_arrays, tmp_path):
        """Trained once, then taken as it is; said to be on another set."""
        arrays = toy_arrays()
        repeated = {name: arrays[name].repeat(2, axis=0) for name in arrays}
        np.savez(tmp_path / "toy.npz", **repeated)
        options = ("--figure=10", f"--workdir={tmp_path}/made")
        options += (f"--datasets=gaussian=npz:{tmp_path}/toy.npz",)
        first = binaries.run("reproduce", *options)
        assert first.returncode == 0, first.stderr
        folder = tmp_path / "made" / "quick"
        assert {path.name for path in folder.iterdir()} == {
            "figure_10",
            "toy_for_gaussian_fully_connected",
        }
        assert "toy.npz in place of gaussian: as asked for" in first.stdout
        content = json.loads((folder / "figure_10" / NUMBERS).read_text())
        assert content["command"].startswith("python -m experiments.reproduce --figure=10")
        (collection,) = content["collections"]
        assert (collection["members"], collection["in_place_of"]) == (10, "gaussian")
        again = binaries.run("reproduce", *options)
        assert "is finished" in again.stdout
        assert "jax" not in again.modules
        listed = binaries.run("reproduce", *options, "--list")
        assert (listed.returncode, listed.stderr) == (0, "")
        assert "trained already" in listed.stdout
        assert "estimates" in listed.stdout


def test_the_work_that_is_stored_is_that_of_the_recipes():
    for scale in Scale:
        assert estimate.known_work(estimate.SWEEPS, scale) == pytest.approx(
            estimate.work_of_sweeps(scale), rel=0.1
        )
        for name, recipe in RECIPES.items():
            expected = estimate.training_work(recipe.config(scale))
            assert estimate.known_work(name, scale) == pytest.approx(expected, rel=0.1)


def test_the_list_has_a_line_for_each_figure_and_needs_no_jax(binaries, tmp_path):
    times = {"PYTHONPROFILEIMPORTTIME": "1"}
    listed = binaries.run("reproduce", "--list", f"--workdir={tmp_path}", fresh=True, env=times)
    imported = re.findall(r"^import time:.*\| *(\S+)$", listed.stderr, re.MULTILINE)
    assert listed.returncode == 0
    *lines, _ = listed.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(FIGURES)
    assert not {"jax", "matplotlib", "sklearn", "scipy.stats"} & set(imported)
    assert "ensemble_jax.reproduction" in imported


def test_lines_of_the_list_are_cut_where_they_are_long(tmp_path):
    lines = list(list_briefly([FIGURES["8"]], Scale.QUICK, Sources(), tmp_path, 40))
    assert lines[0].startswith("8           1 minute")
    assert len(lines[0]) == 40
