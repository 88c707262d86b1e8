"""Tables have what the run has, and files of them are read back the same."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from ensemble_jax import read_frame, write_frame
from ensemble_jax.analysis import example_scores
from ensemble_jax.runs import RunWriter, load_run

RECORDED = {"train": ["margin", "logits"], "test": ["entropy"]}
ENDINGS = [".csv", ".parquet"]


@pytest.fixture
def run(toy, tmp_path):
    toy.write_run(tmp_path / "run", toy.manifest(recorded=RECORDED), diverged=[2])
    return load_run(tmp_path / "run")


@pytest.fixture(params=ENDINGS)
def path(request, tmp_path):
    if request.param == ".parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    return tmp_path / "new" / f"table{request.param}"


class TestExamples:
    @pytest.mark.parametrize("split", ["train", "test"])
    def test_has_a_row_for_each_with_all_scores(self, run, split):
        frame = run.to_pandas(split)
        np.testing.assert_array_equal(frame["id"], run.ids[split])
        np.testing.assert_array_equal(frame["label"], run.labels[split])
        assert frame["class"].tolist() == [run.class_names[k] for k in run.labels[split]]
        scores = example_scores(run, split)
        for name, (value, error) in scores.items():
            np.testing.assert_array_equal(frame[name], value)
            assert (f"{name}_error" in frame) == (not np.isnan(error).all())
        assert ("train_share" in frame) == (split == "train")

    def test_tells_the_truth_where_it_is_known(self, toy, tmp_path):
        truth = (np.arange(13) % 4 - 1).astype(np.int32)
        manifest, splits = toy.manifest(), toy.splits()
        splits["train"] = SimpleNamespace(**vars(splits["train"]), true_labels=truth)
        writer = RunWriter.create(tmp_path, manifest, splits)
        for extent in manifest.extents:
            writer.write_extent(toy.record(manifest, extent))
        run = load_run(tmp_path)
        np.testing.assert_array_equal(run.to_pandas("train")["true_label"], truth)
        assert run.to_pandas("train", records=True)["true_label"][:13].tolist() == truth.tolist()
        assert "true_label" not in run.to_pandas("test")

    def test_of_some_extents(self, run):
        early = run.to_pandas("test", [0, 1])
        expected = run.correct("test", [0, 1]).mean(axis=(0, 1))
        np.testing.assert_allclose(early["accessibility"], expected, rtol=1e-6)

    def test_refuses_what_has_no_labels(self, run):
        with pytest.raises(ValueError, match="split must be one of train, test"):
            run.to_pandas("other")


class TestRecords:
    @pytest.mark.parametrize("split", ["train", "test"])
    def test_has_a_row_for_each_extent_member_and_example(self, run, split):
        frame = run.to_pandas(split, [5, 0], records=True)
        arrays = {
            "correct": run.correct(split, [5, 0]),
            "prediction": run.predictions(split, [5, 0]),
        }
        shape = arrays["correct"].shape
        assert len(frame) == np.prod(shape)
        if split == "train":
            arrays["margin"] = run.recorded("margin", split, [5, 0])
            logits = run.recorded("logits", split, [5, 0])
            arrays |= {f"logits_{name}": logits[..., k] for k, name in enumerate(run.class_names)}
            arrays["train_mask"] = np.broadcast_to(run.train_mask, shape)
        else:
            arrays["entropy"] = run.recorded("entropy", split, [5, 0])
        for (e, n, m), row in zip(np.ndindex(shape), frame.to_dict("records"), strict=True):
            assert (row["extent"], row["member"]) == ([5, 0][e], run.members[n])
            assert (row["id"], row["label"]) == (run.ids[split][m], run.labels[split][m])
            for name, array in arrays.items():
                assert row[name] == array[e, n, m]
        described = {"extent", "member", "id", "label", "class"}
        assert set(frame) == described | set(arrays)


class TestFiles:
    @pytest.mark.parametrize("records", [False, True])
    @pytest.mark.parametrize("split", ["train", "test"])
    def test_are_read_back_the_same(self, run, split, records, path):
        frame = run.to_pandas(split, records=records)
        assert write_frame(frame, path) == path
        # What members did has numbers of few bits, of which CSV keeps the kind alone.
        exact = path.suffix == ".parquet" or not records
        assert_frame_equal(read_frame(path), frame, check_dtype=exact, check_exact=exact)
        assert [of.kind for of in read_frame(path).dtypes] == [
            "i" if of.kind == "u" and not exact else of.kind for of in frame.dtypes
        ]

    @pytest.mark.parametrize("ids", [["0001", "1", 'a,"b"\nc'], [3, 1, 2], ["NA", "", "True"]])
    def test_names_stay_what_they_are(self, ids, path):
        frame = pd.DataFrame(
            {
                "id": ids,
                "label": [0, 1, 1],
                "class": ["NA", "nan", "1"],
                "score": [0.1, np.nan, 1 / 3],
                "never": [np.nan] * 3,
                "sure": [True, False, True],
            }
        )
        write_frame(frame, path)
        assert_frame_equal(read_frame(path), frame, check_exact=True)

    def test_of_any_columns(self, path):
        """Texts are told by their quotes, wherever the first one is."""
        frame = pd.DataFrame(
            {
                "score": [0.5, 0.25, np.nan],
                "given, label": ["", "0001", 'a "b"\nc'],
                "issue": ["True", "False", "True"],
                "count": [1, 2, 3],
                "nothing": [np.nan] * 3,
            }
        )
        write_frame(frame, path)
        assert_frame_equal(read_frame(path), frame, check_exact=True)

    def test_of_no_examples(self, path):
        frame = pd.DataFrame({"id": np.zeros(0, int), "class": np.zeros(0, object)})
        write_frame(frame, path)
        assert list(read_frame(path)) == ["id", "class"]
        assert len(read_frame(path)) == 0

    @pytest.mark.parametrize("function", [read_frame, lambda path: write_frame(None, path)])
    def test_other_endings_are_refused(self, function):
        with pytest.raises(ValueError, match=r"path must end in .parquet or .csv, got a.xlsx"):
            function("a.xlsx")

    def test_parquet_without_pyarrow_is_told_in_one_line(self, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'ensemble_jax\[parquet\]'"):
            write_frame(pd.DataFrame({"id": [1]}), tmp_path / "a.parquet")
        assert list(tmp_path.iterdir()) == []
