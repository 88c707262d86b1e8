"""Examples in the forms of other tools, and by these tools where they are installed."""

import io
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

import ensemble_jax as ej
from ensemble_jax.analysis import example_scores, most_frequent_class
from ensemble_jax.runs import RunWriter, TrainingSets, load_run

M = 13
# Of four members each example is held out of one, and of three members that did not diverge, too.
MASK = np.arange(4)[:, None] % 2 != np.arange(M) % 2
RECORDED = {"train": ["logits"], "test": ["entropy"]}


@pytest.fixture
def run(toy, tmp_path):
    return write(toy, tmp_path / "run", MASK)


def write(toy, directory, mask, ids=None, recorded=RECORDED):
    manifest, splits = toy.manifest(recorded=recorded), toy.splits()
    splits["train"].true_labels = np.where(np.arange(M) == 3, -1, splits["train"].labels)
    if ids is not None:
        splits["train"].ids = ids
    writer = RunWriter.create(directory, manifest, splits, TrainingSets(mask))
    for extent in manifest.extents:
        writer.write_extent(toy.record(manifest, extent, [2] if extent else []))
    return load_run(directory)


@pytest.fixture
def data(run):
    """Grey pictures, of which each has its own number."""
    images = np.random.default_rng(0).integers(0, 255, (M, 4, 5, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(M)
    return ej.Dataset.from_arrays(
        train=(images, run.labels["train"]),
        test=(255 - images[:8], run.labels["test"]),
        class_names=run.class_names,
        train_ids=run.ids["train"],
        test_ids=run.ids["test"],
    )


def pixel(png):
    return np.asarray(Image.open(io.BytesIO(png)))[0, 0]


class TestCleanlab:
    def test_is_the_mean_over_members_that_held_an_example_out(self, run):
        labels, found = run.to_cleanlab()
        np.testing.assert_array_equal(labels, run.labels["train"])
        logits = run.recorded("logits", "train", 5)[0].astype(np.float32)
        of_members = softmax(logits, axis=-1)
        for m in range(M):
            own = [of_members[n, m] for n in range(3) if not run.train_mask[n, m]]
            np.testing.assert_allclose(found[m], np.mean(own, axis=0), atol=1e-3)
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
        assert not np.allclose(run.to_cleanlab(extent=0).pred_probs, found)

    def test_cleanlab_takes_it(self, run):
        filters = pytest.importorskip("cleanlab.filter", reason="cleanlab is not installed")
        found = run.to_cleanlab()
        issues = filters.find_label_issues(*found, n_jobs=1)
        assert issues.shape == (M,)
        by_name = filters.find_label_issues(**found._asdict(), n_jobs=1)
        np.testing.assert_array_equal(issues, by_name)

    def test_refuses(self, run, toy, tmp_path):
        with pytest.raises(ValueError, match=r"neither probabilities nor logits of test: train"):
            run.to_cleanlab("test")
        with pytest.raises(ValueError, match="extents must be among the finished ones"):
            run.to_cleanlab(extent=4)
        everyone = write(toy, tmp_path / "everyone", MASK | (np.arange(M) < 3))
        with pytest.raises(ValueError, match="held out of a member, got 3 of 13 that all"):
            everyone.to_cleanlab()


class TestHuggingFace:
    def test_has_the_table_with_names_of_classes(self, run):
        datasets = pytest.importorskip("datasets", reason="datasets is not installed")
        table, frame = run.to_huggingface(), run.to_pandas()
        assert table.column_names == [name for name in frame if name != "class"]
        for name in ("label", "true_label"):
            assert table.features[name] == datasets.ClassLabel(names=list(run.class_names))
        for name in table.column_names:
            # What is missing is None there.
            found = np.array(table[name], frame[name].dtype)
            np.testing.assert_array_equal(found, frame[name])

    def test_has_what_members_did(self, run):
        pytest.importorskip("datasets", reason="datasets is not installed")
        table = run.to_huggingface("test", [5], records=True)
        frame = run.to_pandas("test", [5], records=True)
        assert table.features["prediction"].int2str(0) == "fox"
        np.testing.assert_array_equal(table["entropy"], frame["entropy"])
        assert table["id"][:] == frame["id"].tolist()

    def test_with_pictures_it_can_be_trained_on(self, run, data):
        pytest.importorskip("datasets", reason="datasets is not installed")
        tables = {split: run.to_huggingface(split, data=data) for split in ("train", "test")}
        again = ej.Dataset.from_huggingface(tables["train"], tables["test"])
        np.testing.assert_array_equal(again.train.inputs, data.train.inputs)
        np.testing.assert_array_equal(again.test.labels, data.test.labels)
        assert again.class_names == run.class_names

    def test_refuses(self, run, data, monkeypatch):
        monkeypatch.setitem(sys.modules, "datasets", None)
        with pytest.raises(ModuleNotFoundError, match="takes datasets: pip install datasets"):
            run.to_huggingface()
        monkeypatch.undo()
        pytest.importorskip("datasets", reason="datasets is not installed")
        with pytest.raises(ValueError, match="data must be None with records"):
            run.to_huggingface(records=True, data=data)


class TestSamples:
    def test_say_everything_of_each_example(self, run, data):
        frame = run.to_samples(data=data)
        scores = example_scores(run)
        errors = {f"{name}_error" for name, of in scores.items() if not np.isnan(of[1]).all()}
        described = {"image", "example_id", "label", "true_label", "prediction", "train_share"}
        assert set(frame) == {*described, "embedding", *scores, *errors}
        assert frame["example_id"].tolist() == run.ids["train"].tolist()
        names = [run.class_names[k] for k in run.labels["train"]]
        assert frame["label"].tolist() == names
        assert frame["true_label"].tolist() == [*names[:3], "", *names[4:]]
        frequent = most_frequent_class(run.predictions("train", 5)[0], 3).classes
        assert frame["prediction"].tolist() == [run.class_names[k] for k in frequent]
        assert [pixel(png) for png in frame["image"]] == list(range(M))
        np.testing.assert_array_equal(frame["accessibility"], scores["accessibility"].value)

    def test_embed_by_what_members_say(self, run):
        probabilities = softmax(run.recorded("logits", "train", 5)[0].astype(float), axis=-1)
        embedding = np.stack(run.to_samples()["embedding"])
        assert embedding.dtype == np.float32
        np.testing.assert_allclose(embedding, probabilities.mean(axis=0), atol=1e-3)
        votes = np.stack(run.to_samples("test")["embedding"])
        np.testing.assert_allclose(votes, run.votes("test", 5)[0] / 3, rtol=1e-6)
        own = np.arange(2 * M).reshape(M, 2)
        np.testing.assert_array_equal(np.stack(run.to_samples(embedding=own)["embedding"]), own)

    def test_name_the_files(self, toy, tmp_path):
        ids = np.array([f"fox/{m}.png" for m in range(M)])
        (tmp_path / "photos" / "fox").mkdir(parents=True)
        for name in ids:
            (tmp_path / "photos" / name).touch()
        run = write(toy, tmp_path / "run", MASK, ids)
        frame = run.to_samples(files=tmp_path / "photos")
        assert frame["filepath"].tolist() == [str(tmp_path / "photos" / name) for name in ids]
        assert frame["example_id"].tolist() == ids.tolist()
        (tmp_path / "photos" / ids[4]).unlink()
        with pytest.raises(ValueError, match=r"1 of 13 are missing, such as .*4\.png"):
            run.to_samples(files=tmp_path / "photos")

    def test_are_what_fiftyone_documents(self, run):
        """A sample is made of keywords; these names are its own."""
        reserved = {"id", "tags", "metadata", "created_at", "last_modified_at", "media_type"}
        frame = run.to_samples()
        assert reserved.isdisjoint(frame)
        for row in frame.to_dict("records"):
            for name, value in row.items():
                assert name.isidentifier()
                assert type(value) in (str, int, float, bool, np.ndarray)

    def test_spotlight_takes_them(self, run, data):
        """Each column converts to the kind that the documentation gives it."""
        spotlight = pytest.importorskip("renumics.spotlight", reason="Spotlight is not installed")
        from renumics.spotlight import dtypes
        from renumics.spotlight.dtypes.conversion import convert_to_dtype

        kinds = {"image": spotlight.Image, "embedding": spotlight.Embedding, "label": str}
        frame = run.to_samples(data=data)
        for name, kind in kinds.items():
            for value in frame[name]:
                assert convert_to_dtype(value, dtypes.create_dtype(kind)) is not None

    def test_texts_are_shown_as_words(self, run, data):
        words = ("", "how", "to")
        texts = ej.data.Split(np.array([[1, 2]] * M, np.int32), data.train.labels, data.train.ids)
        vectors = np.zeros((3, 2), np.float32)
        of_words = ej.Dataset("texts", texts, texts, run.class_names, vectors, words)
        assert run.to_samples(data=of_words)["text"].tolist() == ["how to"] * M

    def test_refuses(self, run, data):
        with pytest.raises(ValueError, match="files must be None where ids are no paths"):
            run.to_samples(files="photos")
        with pytest.raises(ValueError, match=r"embedding must be numbers \[13, D\], got int64 \[2"):
            run.to_samples(embedding=np.zeros((2, 2), int))
        numbers = np.random.default_rng(0).random((M, 3))
        arrays = {
            "train": (numbers, data.train.labels),
            "test": (1 - numbers[:8], data.test.labels),
        }
        others = ej.Dataset.from_arrays(**arrays)
        with pytest.raises(ValueError, match=r"data must be those of .*, got other ids in arrays"):
            run.to_samples(data=others)
        named = ej.Dataset.from_arrays(**arrays, train_ids=data.train.ids)
        with pytest.raises(ValueError, match=r"pictures or texts. Examples of the shape \[3\]"):
            run.to_samples(data=named)
