"""Every data set of the paper trains a few steps: three members, each as if it were alone."""

from __future__ import annotations

import csv

import jax
import numpy as np
import pytest

from ensemble_jax.collection import Placement
from ensemble_jax.data import Dataset, Split, channel_statistics, load_dataset
from ensemble_jax.data import vggface2 as faces
from ensemble_jax.data.folders import Folders
from ensemble_jax.data.views import with_random_labels
from ensemble_jax.kit import make_kit
from ensemble_jax.losses import cross_entropy
from ensemble_jax.membership import members as make_members
from ensemble_jax.membership import on_dataset
from ensemble_jax.networks import as_network, prepared
from ensemble_jax.optimizers import as_optimizer
from ensemble_jax.options import ArchitectureOptions, Model
from ensemble_jax.task import make_training
from ensemble_jax.training import (
    CollectionTraining,
    Recipe,
    make_member_training,
    place_examples,
)
from ensemble_jax.zoo import make_architecture

N, EXAMPLES, BATCH = 3, 20, 8
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
GLOVE = "how 1 0 0\nto 0 1 0\nbash 0 0 1\n"


def few(split: Split) -> Split:
    """Examples from everywhere in a split."""
    rows = np.linspace(0, len(split) - 1, min(EXAMPLES, len(split))).astype(int)
    return Split(split.inputs[rows], split.labels[rows], split.ids[rows])


def check_training(dataset: Dataset) -> None:
    """Three members trained together are finite, differ, and are what each is alone."""
    train = few(dataset.train)
    texts = dataset.word_vectors is not None
    architecture = make_architecture(
        Model.BILSTM if texts else Model.FULLY_CONNECTED,
        num_classes=dataset.num_classes,
        input_shape=dataset.input_shape,
        options=ArchitectureOptions(width=4),
    )
    mean, std = (0.0, 1.0) if texts else channel_statistics(dataset.train.inputs)
    network = prepared(
        as_network(architecture), mean=mean, std=std, word_vectors=dataset.word_vectors
    )
    optimizer = as_optimizer("sgd")
    recipe = Recipe(network, optimizer, cross_entropy, min(BATCH, len(train)), 3, 3)
    training = make_member_training(recipe)
    members = on_dataset(make_members(N, learning_rate=0.01), dataset, 1).members

    def trained(of):
        size = len(of.seed)
        placement = Placement(size, 0, tuple(jax.devices()[:1]))
        examples = place_examples(placement, train.inputs, train.labels)
        collection = CollectionTraining(training, placement, of, examples)

        def run(own):
            state, losses = collection.of(own).epoch(collection.of(own).init(), 0)
            return placement.gather((state.variables.params, losses))

        return run

    together, losses = trained(members)(members)
    assert np.isfinite(losses).all()
    assert len(set(losses.tolist())) == N
    alone = trained(jax.tree.map(lambda x: x[:1], members))
    for i in range(N):
        own, [loss] = alone(jax.tree.map(lambda x, i=i: x[i : i + 1], members))
        assert loss == pytest.approx(losses[i], rel=1e-4)
        jax.tree.map(
            lambda x, y, i=i: np.testing.assert_allclose(x[i], y[0], rtol=1e-3, atol=1e-5),
            together,
            own,
        )


@pytest.mark.parametrize(
    "name", ["digits", "gabor", pytest.param("gabor24", marks=pytest.mark.slow), "gaussian"]
)
def test_sets_made_here(name):
    check_training(load_dataset(name))


@pytest.mark.filterwarnings("ignore:.*are train examples, too")
@pytest.mark.parametrize(
    "name",
    [
        "fashion_mnist",
        "cifar100",
        "small_mammals",
        # Other classes of the same images.
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("fish", "insects", "aquatic_mammals", "household_furniture")
        ),
    ],
)
def test_real_images(name, real_folders):
    check_training(load_dataset(name, data_dir=real_folders.data, cache_dir=real_folders.cache))


@pytest.mark.filterwarnings("ignore:.*are train examples, too")
@pytest.mark.parametrize("name", ["trec", "stackoverflow20_titles"])
def test_real_texts(name, real_data):
    text = real_data / "text"
    check_training(load_dataset(f"tsv:{text / name}", word_vectors=text / "glove.50d.txt"))


def load(name: str, folders: Folders, **options) -> Dataset:
    return load_dataset(name, data_dir=folders.data, cache_dir=folders.cache, **options)


@pytest.mark.filterwarnings("ignore:.*7 of 10 classes have no train examples")
@pytest.mark.parametrize(
    ("prepared", "name", "shape"),
    [
        ("mnist", "mnist", (28, 28, 1)),
        ("cifar10", "cifar10", (32, 32, 3)),
        ("cifar10", "cats_and_dogs", (32, 32, 3)),
    ],
)
def test_stand_ins_for_prepared_images(prepare, folders, prepared, name, shape):
    rng = np.random.default_rng(0)
    images = {
        split: rng.integers(0, 256, (24, *shape), dtype=np.uint8) for split in ("train", "test")
    }
    labels = {split: [(3, 5, 0)[i % 3] for i in range(24)] for split in images}
    prepare(prepared, images, labels, class_names=CIFAR10)
    check_training(load(name, folders))


def test_a_stand_in_for_tiny_imagenet(write_image, folders):
    root = folders.data / "tiny-imagenet-200"
    inside = f"{folders.data.name}/{root.name}"
    for wordnet_id in ("n01", "n02"):
        for number in range(6):
            path = f"{inside}/train/{wordnet_id}/images/{wordnet_id}_{number}.JPEG"
            write_image(path, size=(64, 64))
    for number in range(2):
        write_image(f"{inside}/val/images/val_{number}.JPEG", size=(64, 64))
    (root / "val/val_annotations.txt").write_text(
        "val_0.JPEG\tn01\t0\t0\t63\t63\nval_1.JPEG\tn02\t0\t0\t63\t63\n"
    )
    (root / "wnids.txt").write_text("n01\nn02\n")
    (root / "words.txt").write_text("n01\tegret\nn02\tcrane\n")
    check_training(load("tiny_imagenet", folders))


def test_a_stand_in_for_vggface2(write_image, folders, monkeypatch):
    monkeypatch.setattr(faces, "_TRAIN_IMAGES", 3)
    for identity in range(10):
        for number in range(4):
            path = f"VGGFace2/n{identity:06}/{number:04}_01.jpg"
            write_image(f"{folders.data.name}/{path}", size=(70, 90))
    check_training(load("vggface2", folders))


def test_a_folder_of_images(write_image, folders, tmp_path):
    for name in ("hen", "owl"):
        for number in range(8):
            write_image(f"own/{name}/{number}.png", size=(12, 10))
    check_training(load(f"folder:{tmp_path / 'own'}?size=8", folders))


@pytest.mark.filterwarnings("ignore:.*are train examples, too")
def test_a_stand_in_for_stack_overflow(folders, tmp_path):
    rows = [(f"how to {word} {i}", word) for i in range(60) for word in ("bash", "qt")]
    with (folders.data / "stack-overflow-data.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("post", "tags"), *rows])
    vectors = tmp_path / "vectors.txt"
    vectors.write_text(GLOVE)
    check_training(load("stackoverflow", folders, word_vectors=vectors))


def test_random_labels():
    check_training(with_random_labels(load_dataset("digits"), seed=0))


def test_vectors_of_features_in_their_own_units():
    rng = np.random.default_rng(0)
    labels = np.arange(36) % 3
    features = rng.normal(labels[:, None], size=(36, 5)) * [1, 1e4, 1e-4, 1, 1] + [0, 1e5, 0, 9, 0]
    check_training(
        Dataset.from_arrays(
            train=(features[:24], labels[:24]), test=(features[24:], labels[24:]), name="own"
        )
    )


def test_a_crop_shows_the_mean_beyond_an_image_also_in_a_channel_of_one_value():
    """Where it showed zeros, opaque images that say so would be 255 standard deviations off."""
    generator = np.random.default_rng(0)
    images = {n: generator.integers(0, 256, (n, 6, 6, 4), dtype=np.uint8) for n in (20, 10)}
    for of_split in images.values():
        of_split[..., 3] = 255
    labels = {n: np.arange(n) % 2 for n in images}
    with pytest.warns(UserWarning, match="1 of 4 channels have one value in all train inputs"):
        dataset = Dataset.from_arrays(train=(images[20], labels[20]), test=(images[10], labels[10]))
    kit = make_kit(
        make_training(
            "fully_connected",
            dataset,
            members=1,
            optimizer="sgd",
            loss=None,
            batch_size=10,
            extents=(1,),
            augment=("crop:2",),
            record=(),
            plan="default",
            precision="auto",
            observer=None,
            protocol="trajectory",
            normalise=True,
            evaluation_batch_size=10,
            pool_images=0,
            workers=0,
            checkpoint_extents=0,
            checkpoint_minutes=0,
        ),
        dataset,
    )
    changed = np.asarray(kit.recipe(None).augment(jax.random.key(0), images[20]))
    assert (changed[..., 3] == 255).all()
    border = np.rint(channel_statistics(dataset.train.inputs)[0])
    edges = changed[:, [0, -1]].reshape(-1, 4)
    assert (edges == border).all(axis=1).any()
