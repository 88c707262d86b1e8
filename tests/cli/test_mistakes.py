"""What a user gets wrong: one line that says so, at once, and nothing is written."""

import dataclasses
import os
import re
import sys

import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from ensemble_jax import load_run
from ensemble_jax.cli import config_option  # noqa: F401  it says how texts are parsed
from ensemble_jax.cli.train_config import TrainConfig
from ensemble_jax.options import Model, Schedule

SIZES = {"train": 60, "test": 30}


@pytest.fixture(scope="module")
def places(tmp_path_factory, toy_set, toy_arrays):
    """Files and folders with something wrong, by name."""
    folder = tmp_path_factory.mktemp("mistakes")
    places = {"folder": folder, "toy": f"npz:{toy_set}"}

    def write(name, text):
        places[name] = folder / f"{name}.py"
        places[name].write_text(text)

    def save(name, **changes):
        arrays = {k: v for k, v in (toy_arrays() | changes).items() if v is not None}
        places[name] = f"npz:{folder / name}.npz"
        np.savez(folder / f"{name}.npz", **arrays)

    header = "from ensemble_jax.cli.train_config import TrainConfig\n"
    write("broken", "def get_config(:\n")
    write("no_function", header)
    write("unknown_import", "import no_such_package\n")
    write("failing", "def get_config():\n    return 1 / 0\n")
    write("other_type", "def get_config():\n    return {'num_members': 3}\n")
    write("wrong_keyword", header + "def get_config():\n    return TrainConfig(members_count=3)\n")
    write("text_model", header + "def get_config():\n    return TrainConfig(model='st_vgg')\n")
    write(
        "text_activation", header + "def get_config():\n    return TrainConfig(activation='elu')\n"
    )
    write("text_number", header + "def get_config():\n    return TrainConfig(num_members='3')\n")

    (folder / "text.npz").write_text("no archive")
    places["not_npz"] = f"npz:{folder / 'text.npz'}"
    places["no_file"] = f"npz:{folder / 'nothing.npz'}"
    images = toy_arrays()["train_images"]

    def draw(*shape):
        return np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape).astype(np.uint8)

    save("no_labels", test_labels=None)
    save("other_shape", test_images=np.zeros((30, 7, 7, 1), np.uint8))
    save("other_length", test_labels=np.zeros(29, int))
    save("other_dtype", train_images=images.astype(np.int64) + 1)
    save("float_labels", train_labels=np.zeros(60))
    save("not_finite", **{f"{s}_images": np.full((n, 8, 8), np.nan) for s, n in SIZES.items()})
    save("negative", train_labels=np.arange(60) - 1)
    save("outside", class_names=np.array(["one", "two"]))
    save("objects", class_names=np.array(["one", 2, None], object))
    save("tiny", **{f"{s}_images": draw(n, 3, 3) for s, n in SIZES.items()})
    without_images = dict.fromkeys(["train_images", "test_images"])
    flat = {f"{s}_inputs": np.float32(draw(n, 9)) for s, n in SIZES.items()}
    save("flat", **without_images, **flat)

    (folder / "occupied").mkdir()
    (folder / "occupied" / "thesis.tex").write_text("")
    (folder / "file").write_text("")
    (folder / "newer").mkdir()
    (folder / "newer" / "run.json").write_text('{"kind": "ensemble_jax run", "format": 99}')
    return places


# Without `--config.` before it, the first part of a line is a whole option.
OPTIONS = [
    # Options that do not exist.
    ("--config.foo=1", ["--config.foo", "no such field", "num_members", "plan"]),
    ("--config.num_member=1", ["--config.num_member", "(is --config.num_members meant?)"]),
    ("--config.model.width=3", ["--config.model.width", "no such field"]),
    ("--foo=1", ["unknown option --foo", "--help"]),
    ("--num_members=3", ["unknown option --num_members", "(is --config.num_members meant?)"]),
    ("--work_dir=x", ["unknown option --work_dir", "(is --workdir meant?)"]),
    ("digits", ["unknown argument 'digits'", "--name=value"]),
    # Values of the wrong type.
    ("--config.num_members=x", ["--config.num_members=x", "int"]),
    ("--config.num_members=2.5", ["--config.num_members=2.5", "int"]),
    ("--config.learning_rate=fast", ["--config.learning_rate=fast", "float"]),
    ("--config.model=vgg", ["--config.model=vgg", *(model.value for model in Model)]),
    ("--config.activation=swish", ["--config.activation=swish", "elu|relu|leaky_relu"]),
    ("--config.initialiser=xavier", ["--config.initialiser=xavier", "glorot_uniform|glorot_no"]),
    ("--config.form=large", ["--config.form=large", "cifar|imagenet"]),
    ("--config.record=odds", ["record must be of label_probability, margin", "got 'odds'"]),
    ("--config.optimizer=sdg", ["--config.optimizer=sdg", "sgd|momentum|adam|adadelta|adamw|lion"]),
    ("--config.schedule=cosin", ["--config.schedule=cosin", "step|constant|cosine|linear"]),
    (
        "--config.plan=convolution=fft",
        ["one of xla, patches, winograd, direct, fused, got 'fft'"],
    ),
    # Config files.
    ("--config=nothing.py", ["--config", "'nothing.py', which is not a file"]),
    ("--config=", ["--config", "'', which is not a file"]),
    ("--config={folder}", ["--config", "{folder}", "which is not a file"]),
    ("--config=digit", ["--config=digit", "is digits meant?", "path of a Python file", "mnist"]),
    ("--config=unheard_of", ["--config=unheard_of", "no such config; it is", "small_mammals"]),
    ("--config=imagenet:vgg", ["imagenet:vgg", "one of resnet50, alexnet, densenet121, got 'vgg'"]),
    ("--config={broken}", ["--config", "SyntaxError", "broken.py, line 1"]),
    ("--config={no_function}", ["--config", "get_config"]),
    ("--config={unknown_import}", ["--config", "no_such_package"]),
    ("--config={failing}", ["--config", "ZeroDivisionError"]),
    ("--config={other_type}", ["--config", "{other_type}", "returns a TrainConfig"]),
    ("--config={wrong_keyword}", ["--config={wrong_keyword}", "TypeError", "members_count"]),
    ("--config={text_model}", ["model must be of type Model, got 'st_vgg'"]),
    ("--config={text_activation}", ["activation must be of type Activation, got 'elu'"]),
    ("--config={text_number}", ["num_members must be of type int, got '3'"]),
    # Values out of range; more of them below.
    ("--config.num_members=0", ["num_members must be at least 1, got 0"]),
    ("--config.members=x", ["members must be a range FIRST:END such as 0:10, got 'x'"]),
    ("--config.extents=0,2,1", ["extents must be increasing, got (0, 2, 1)"]),
    ("--config.extents=a,b", ["extents must be numbers of epochs in 0..", "got 'a,b'"]),
    ("--config.extents=0 1", ["--config.extents", "0 1", "commas"]),
    ("--config.seed=-1", ["seed must lie in 0..4294967295, got -1"]),
    ("--config.learning_rate=nan", ["learning_rate must be finite, got nan"]),
    ("--config.batch_size=61", ["batch_size must lie in 1..60", "{toy}", "got 61"]),
    ("--config.subset_fraction=0.2", ["batch_size must lie in 1..12", "{toy}", "got 20"]),
    ("--config.folds=61", ["folds must lie in 2..60", "got 61"]),
    ("--config.partitions=61", ["partitions must lie in 1..60", "got 61"]),
    ("--config.protocol=both", ["--config.protocol", "both"]),
    ("--config.tied=order,seed", ["tied must be of initialisation, order, ", "got 'seed'"]),
    # Data sets.
    ("--config.dataset=cifar", ["dataset must be one of digits, ", "'cifar', is 'cifar10' meant?"]),
    ("--config.dataset=npz:", ["dataset must be one of digits, ", "npz:PATH", "got 'npz:'"]),
    ("--config.dataset={no_file}", ["{no_file}", "is not a file"]),
    ("--config.dataset={not_npz}", ["{not_npz}", "is not an .npz archive"]),
    ("--config.dataset={no_labels}", ["lacks the array test_labels", "it holds train_images"]),
    ("--config.dataset={other_shape}", ["must have one shape", "(8, 8, 1) and (7, 7, 1)"]),
    ("--config.dataset={other_length}", ["test labels", "[30]", "(29,)"]),
    (
        "--config.dataset={other_dtype}",
        ["train inputs of integers must lie in 0..255", "got int64"],
    ),
    ("--config.dataset={float_labels}", ["train labels must be integers or texts, got float64"]),
    ("--config.dataset={not_finite}", ["train inputs must be finite", "60 of 60"]),
    ("--config.dataset={negative}", ["train labels must not be negative, got -1"]),
    ("--config.dataset={outside}", ["train labels must lie in 0..1", "got 2"]),
    ("--config.dataset={objects}", ["class_names holds Python objects", "not read"]),
    # Views and probes.
    ("--config.classes=0,2,3", ["classes of {toy} must be among 0, 1, 2; got '3'"]),
    ("--config.train_fraction=0.1", ["1..6 (the", "{toy}, train fraction 0.1), got 20"]),
    ("--config.random_labels=maybe", ["--config.random_labels=maybe", "boolean"]),
    ("--config.probes=noise,gauss", ["probes must be of noise[:M], ", "got 'gauss'"]),
    ("--config.probes=test_of:{tiny}", ["as those of {toy}, uint8 8x8x1, got uint8 3x3x1"]),
    ("--config.probes=test_of:{no_file}", ["probe nothing: {no_file}: ", "is not a file"]),
    ("--config.probes=images:{folder}/nothing", ["probe nothing: ", "nothing is not a folder"]),
    ("--config.probes=images:{folder}/occupied", ["probe occupied: ", "holds no images"]),
    # Run directories.
    ("--workdir={folder}/newer", ["{folder}/newer", "format 99", "up to 5", "upgrade"]),
]


@pytest.mark.parametrize(("option", "parts"), OPTIONS, ids=[option for option, _ in OPTIONS])
def test_a_mistake_is_told_in_one_line_without_loading_jax(
    binaries, places, tmp_path, option, parts
):
    workdir = tmp_path / "run"
    options = [option.format(**places)]
    if not option.startswith("--config="):
        options.insert(0, f"--config.dataset={places['toy']}")
        options.insert(1, "--config.batch_size=20")
    answer = binaries.run("train", f"--workdir={workdir}", *options, jax=False)
    assert (answer.returncode, answer.stdout) == (2, "")
    for part in parts:
        assert part.format(**places) in answer.error
    assert "jax" not in answer.modules
    assert not workdir.exists()


# Parsed as the command line is, but within this process.
VALUES = [
    ("--config.num_members=0", ["num_members must be at least 1, got 0"]),
    ("--config.word_vectors=x", ["word_vectors must be empty for", "such as digits, got 'x'"]),
    ("--config.dataset=tsv:x", ["word_vectors must name a file of GloVe's", "tsv:x", "got none"]),
    ("--config.members=5:5", ["members must hold at least one member, got '5:5'"]),
    ("--config.members=5:3", ["members must hold at least one member, got '5:3'"]),
    ("--config.members=x", ["members must be a range FIRST:END such as 0:10, got 'x'"]),
    ("--config.members=-1:3", ["members must be a range FIRST:END such as 0:10, got '-1:3'"]),
    ("--config.members=0:99999999999", ["members must be at most 2147483647, got 99999999998"]),
    ("--config.extents=0,2,1", ["extents must be increasing, got (0, 2, 1)"]),
    ("--config.extents=1,1", ["extents must be increasing, got (1, 1)"]),
    ("--config.extents=-1,2", ["extents must be numbers of epochs in 0..", "got -1"]),
    ("--config.extents=a,b", ["extents must be numbers of epochs in 0..", "got 'a,b'"]),
    ("--config.extents=0.5,1", ["extents must be numbers of epochs in 0..", "got 0.5"]),
    ("--config.extents=", ["extents must be numbers of epochs in 0..", "got ''"]),
    ("--config.extents=()", ["extents must be", "got ()"]),
    ("--config.extents=9999999999", ["extents must be numbers of epochs in 0..2147483647"]),
    *(
        (f"--config.{name}=-1", [f"{name} must be at least 0, got -1"])
        for name in ("width", "depth", "kernel_size", "dense", "growth")
    ),
    ("--config.width=9999999999", ["width must be at most 2147483647, got 9999999999"]),
    ("--config.batch_size=0", ["batch_size must be at least 1, got 0"]),
    ("--config.evaluation_batch_size=0", ["evaluation_batch_size must be at least 1, got 0"]),
    ("--config.checkpoint_extents=-1", ["checkpoint_extents must be at least 0, got -1"]),
    ("--config.checkpoint_minutes=-1", ["checkpoint_minutes must be at least 0, got -1.0"]),
    ("--config.plan=fast", ["plan must be auto, default or NAME=VALUE,...", "got 'fast'"]),
    ("--config.plan=members_per_call=0", ["members_per_call of the plan must be all or at least"]),
    ("--config.seed=-1", ["seed must lie in 0..4294967295, got -1"]),
    ("--config.seed=4294967296", ["seed must lie in 0..4294967295, got 4294967296"]),
    ("--config.learning_rate=0", ["learning_rate must be positive, got 0.0"]),
    ("--config.learning_rate=nan", ["learning_rate must be finite, got nan"]),
    ("--config.decay_factor=0.5", ["decay_factor must be at least 1, got 0.5"]),
    ("--config.decay_epochs=0", ["decay_epochs must be at least 1, got 0"]),
    ("--config.decay_epochs=9999999999", ["decay_epochs must be at most 2147483647"]),
    ("--config.warmup_epochs=-0.5", ["warmup_epochs must be at least 0, got -0.5"]),
    ("--config.warmup_epochs=1e10", ["warmup_epochs must be at most 2147483647, got 10000000000"]),
    ("--config.momentum=1", ["momentum must lie in [0, 1), got 1.0"]),
    ("--config.weight_decay=-1", ["weight_decay must be at least 0, got -1.0"]),
    ("--config.weight_decay=nan", ["weight_decay must be finite, got nan"]),
    ("--config.clip_norm=-1", ["clip_norm must be at least 0, got -1.0"]),
    ("--config.label_smoothing=1", ["label_smoothing must lie in [0, 1), got 1.0"]),
    ("--config.label_smoothing=-0.1", ["label_smoothing must lie in [0, 1), got -0.1"]),
    ("--config.l2=-1", ["l2 must be at least 0, got -1.0"]),
    ("--config.l2=inf", ["l2 must be finite, got inf"]),
    ("--config.dropout_scale=2", ["dropout_scale must lie in [0, 2), got 2.0"]),
    ("--config.tied=seed", ["tied must be of initialisation, order, ", "got 'seed'"]),
    ("--config.folds=1", ["folds must be 0 or at least 2, got 1"]),
    ("--config.partitions=-1", ["partitions must be at least 0, got -1"]),
    ("--config.subset_fraction=0", ["subset_fraction must lie in (0, 1], got 0.0"]),
    ("--config.subset_fraction=1.1", ["subset_fraction must lie in (0, 1], got 1.1"]),
    ("--config.member_label_noise=2", ["member_label_noise must lie in [0, 1], got 2.0"]),
    ("--config.classes=otter", ["classes must be at least two, got otter"]),
    ("--config.train_fraction=0", ["train_fraction must lie in (0, 1], got 0.0"]),
    ("--config.train_fraction=1.1", ["train_fraction must lie in (0, 1], got 1.1"]),
    ("--config.train_fraction=nan", ["train_fraction must be finite, got nan"]),
    ("--config.label_noise=-0.1", ["label_noise must lie in [0, 1], got -0.1"]),
    ("--config.label_noise=2", ["label_noise must lie in [0, 1], got 2.0"]),
    ("--config.probes=noise,noise:3", ["probes must have different names, got noise for noise"]),
    ("--config.probes=test=noise", ["a probe must not be called 'test'"]),
    ("--config.probes=a/b=noise", ["probes must be of noise[:M], ", "got 'a/b=noise'"]),
    ("--config.probes=noise:0", ["noise must have 1..1000000 examples, got '0'"]),
    ("--config.probes=test_of:cifar", ["probe test_of:cifar: dataset must be", "'cifar10' meant"]),
]


@pytest.mark.parametrize(("option", "parts"), VALUES, ids=[option for option, _ in VALUES])
def test_a_value_out_of_range_is_refused(option, parts):
    parsed = flags.FlagValues()
    arguments = ["train", option]
    config_flags.DEFINE_config_dataclass(
        "config", TrainConfig(), flag_values=parsed, sys_argv=arguments
    )
    parsed(arguments)
    with pytest.raises(ValueError) as raised:  # noqa: PT011  all parts of its text are compared
        parsed.config.validate()
    assert "\n" not in str(raised.value)
    for part in parts:
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("extents=1", "extents=2"), (2,)),
        (("extents=0,1", "extents=(3,4)"), (3, 4)),
        (("classes=a,b", "classes=c,d"), ("c", "d")),
        (("seed=1", "seed=2"), 2),
        (("linear", "linear=false"), False),
        (("model=vgg16", "model=st_vgg"), Model.ST_VGG),
    ],
)
def test_of_an_option_that_is_given_twice_the_last_value_counts(options, expected):
    parsed = flags.FlagValues()
    arguments = ["train", *(f"--config.{option}" for option in options)]
    config_flags.DEFINE_config_dataclass(
        "config", TrainConfig(), flag_values=parsed, sys_argv=arguments
    )
    parsed(arguments)
    assert getattr(parsed.config, options[0].partition("=")[0]) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": (1, 2)}, "classes must be texts, got 1"),
        ({"probes": ("noise", None)}, "probes must be texts, got None"),
        ({"tied": [3]}, "tied must be texts, got 3"),
        ({"probes": "noise"}, "probes must be of type tuple, got 'noise'"),
        ({"schedule": "cosine"}, "schedule must be of type Schedule, got 'cosine'"),
        (
            {"schedule": Schedule.COSINE, "warmup_epochs": 10},
            "warmup_epochs must be below the last extent, 10, with schedule cosine, got 10",
        ),
        (
            {"random_labels": True, "label_noise": 0.5},
            "label_noise must be 0 with random_labels, which replace every label, got 0.5",
        ),
    ],
)
def test_what_only_a_file_can_get_wrong(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes).validate()


@pytest.mark.parametrize("dataset", ["mnist", "fish"])
@pytest.mark.parametrize("data_dir", ["{folder}", "{folder}/nothing"])
def test_a_set_that_is_not_prepared_is_told_with_how_to_prepare_it(
    binaries, places, tmp_path, dataset, data_dir
):
    data_dir = data_dir.format(**places)
    answer = binaries.run(
        "train",
        f"--config.dataset={dataset}",
        f"--config.data_dir={data_dir}",
        f"--workdir={tmp_path / 'run'}",
        jax=False,
    )
    assert (answer.returncode, answer.stdout) == (2, "")
    prepared = {"mnist": "mnist", "fish": "cifar100"}[dataset]
    assert f"data_dir={data_dir!r}" in answer.error
    assert f"tfds.builder('{prepared}'" in answer.error
    assert "download_and_prepare()" in answer.error
    assert "jax" not in answer.modules
    assert not (tmp_path / "run").exists()


# What takes the architecture or the place of the run to know, but nothing compiled.
LATE = [
    (["--config.dataset={tiny}"], ["small_st_vgg", "at least 4x4", "got 3x3"]),
    (["--config.dataset={flat}"], ["small_st_vgg", "height x width x channels", "(9,)"]),
    (["--config.growth=3"], ["options of model small_st_vgg are width, depth,", "got growth"]),
    (["--config.depth=4"], ["small_st_vgg", "at least 16x16", "got 8x8"]),
    (["--config.model=st_vgg"], ["st_vgg", "at least 16x16", "got 8x8"]),
    (["--workdir={folder}/occupied"], ["{folder}/occupied is not empty", "thesis.tex"]),
    (["--workdir={folder}/file"], ["{folder}/file", "File exists"]),
    (["--workdir={folder}/file/x"], ["{folder}/file/x", "Not a directory"]),
]


@pytest.mark.parametrize(("options", "parts"), LATE, ids=[options[0] for options, _ in LATE])
def test_what_does_not_fit_is_told_before_anything_is_compiled(
    binaries, places, tmp_path, contents, options, parts
):
    before = contents(places["folder"])
    given = [f"--config.dataset={places['toy']}", "--config.batch_size=20"]
    given += [f"--workdir={tmp_path / 'run'}", *(option.format(**places) for option in options)]
    answer = binaries.run("train", *given)
    assert (answer.returncode, answer.stdout) == (2, "")
    for part in parts:
        assert part.format(**places) in answer.error
    assert not (tmp_path / "run").exists()
    assert contents(places["folder"]) == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_a_place_that_cannot_be_written_is_told(binaries, places):
    given = [f"--config.dataset={places['toy']}", "--config.batch_size=20"]
    answer = binaries.run("train", *given, "--workdir=/proc/run")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "/proc/run" in answer.error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told(binaries, places, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    given = [f"--config.dataset={places['toy']}", "--config.batch_size=20"]
    answer = binaries.run("train", *given, f"--workdir={tmp_path / 'closed' / 'run'}")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "Permission denied" in answer.error


def test_members_that_all_diverge_are_named_and_their_records_kept(binaries, places, tmp_path):
    directory = tmp_path / "run"
    command = (
        "train",
        f"--config.dataset={places['toy']}",
        "--config.model=fully_connected",
        "--config.num_members=2",
        "--config.batch_size=20",
        "--config.learning_rate=1e30",
        "--config.extents=0,1,2",
        f"--workdir={directory}",
    )
    answer = binaries.run(*command)
    assert answer.returncode == 2
    said = re.findall(r"member (\d) diverged in epoch (\d): frozen and left out", answer.stderr)
    assert said == [("0", "1"), ("1", "1")]
    counted = "2 of 2 members diverged and are left out of the scores: 0 (epoch 1), 1 (epoch 1)"
    assert counted in answer.stdout.splitlines()
    error = f"error: {directory}: all members have diverged, there is nothing to score"
    assert answer.stderr.splitlines()[-1] == error
    assert "Traceback" not in answer.stderr

    run = load_run(directory)
    assert run.finished
    assert run.diverged == {0: 1, 1: 1}
    assert run.members.size == 0
    assert load_run(directory, include_diverged=True).correct("train").shape == (3, 2, 60)

    again = binaries.run(*command)
    assert again.returncode == 2
    assert again.error == error
    assert "is finished" in again.stdout
    assert counted in again.stdout.splitlines()


def test_fused_convolutions_without_a_compiler(binaries, places, tmp_path):
    workdir = tmp_path / "run"
    options = f"--config.dataset={places['toy']}", "--config.batch_size=20"
    fused = "--config.plan=default,convolution=fused"
    answer = binaries.run(
        "train", f"--workdir={workdir}", *options, fused, env={"CC": "no-such-compiler"}
    )
    assert (answer.returncode, answer.stdout) == (2, "")
    assert (
        "convolution of the plan cannot be fused here: there is no C compiler 'no-such-compiler' "
        "on the PATH" in answer.error
    )
    assert not workdir.exists()


def test_a_traceback_is_there_for_those_who_ask(binaries):
    options = {"env": {"ENSEMBLE_JAX_TRACEBACK": "1"}, "fresh": True}
    answer = binaries.run("train", "--config.seed=-1", **options)
    assert answer.returncode == 1
    assert answer.stderr.startswith("Traceback")
    assert answer.stderr.splitlines()[-1].startswith("ValueError: seed must lie in")


def test_help_tells_of_the_command_and_every_field_with_its_value(binaries):
    answer = binaries.run("train", "--help", jax=False)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "jax" not in answer.modules
    # The example is the one of the module, and can be pasted.
    assert "ensemble-jax train --config=digits" in answer.stdout
    assert "--workdir=runs/digits" in answer.stdout
    assert "--workdir:" in answer.stdout
    for field in dataclasses.fields(TrainConfig):
        assert re.search(rf"^ *--config\.{field.name}(=\S+)?: \S", answer.stdout, re.MULTILINE)
    for shown in ("=digits", ".learning_rate=0.02", ".extents=0,1,3,5,8,12,25", ".linear=false"):
        assert f"  --config{shown}: " in answer.stdout
    for model in Model:
        assert model.value in answer.stdout


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sweep", ["--config=sweep_learning_rate", "--vary", "--config.seed=0", "--workdir"]),
        ("analyze", ["--run", "--output"]),
        ("compare", ["--first", "--second", "--output"]),
        ("merge", ["--runs", "--output"]),
        (
            "classifiers",
            ["--run", "--learners=100", "--classifiers=svm,knn,perceptron,tree,forest"],
        ),
        ("reproduce", ["--figure", "--scale=quick", "--[no]list"]),
    ],
)
def test_help_of_the_other_binaries(binaries, name, options):
    answer = binaries.run(name, "-h")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert f"ensemble-jax {name} " in answer.stdout
    for option in options:
        assert re.search(rf"^  {re.escape(option)}(,.*)?: ", answer.stdout, re.MULTILINE), option


def test_help_shows_the_values_of_the_command_line(binaries):
    options = "--config=imagenet:alexnet", "--config.num_members=3"
    answer = binaries.run("train", "--help", *options, jax=False)
    assert answer.returncode == 0
    for shown in ("=imagenet:alexnet", ".model=alexnet", ".learning_rate=0.01", ".num_members=3"):
        assert f"  --config{shown}: " in answer.stdout
