"""The labelled Dataset has what the run has."""

import numpy as np
import pytest
import xarray

from ensemble_jax.runs import RunWriter, load_run


@pytest.fixture
def run(toy, tmp_path):
    toy.write_run(tmp_path, toy.manifest(), diverged=[2])
    return load_run(tmp_path)


def test_variables(run):
    dataset = run.to_xarray()
    assert set(dataset.data_vars) == {
        *("correct_train", "predictions_train", "loss_train", "accuracy_train"),
        *("correct_test", "predictions_test", "loss_test", "accuracy_test"),
        *("train_images_per_second", "train_mask", "train_labels"),
    }
    for split in run.splits:
        for name in ("correct", "predictions"):
            variable = dataset[f"{name}_{split}"]
            assert variable.dims == ("extent", "member", f"example_{split}")
            np.testing.assert_array_equal(variable, getattr(run, name)(split))
        for name in ("loss", "accuracy"):
            variable = dataset[f"{name}_{split}"]
            assert variable.dims == ("extent", "member")
            np.testing.assert_array_equal(variable, run.metrics[f"{split}_{name}"])


def test_coordinates_and_attributes(run):
    dataset = run.to_xarray()
    sizes = {"extent": 3, "member": 3, "example_train": 13, "example_test": 8, "class": 3}
    assert dataset.sizes == sizes
    assert dataset.extent.values.tolist() == [0, 1, 5]
    assert dataset.member.values.tolist() == [0, 1, 3]
    assert dataset.learning_rate.dims == ("member",)
    assert dataset["class"].values.tolist() == ["fox", "skunk", "possum"]
    assert dataset.attrs["diverged_members"] == [2]
    assert dataset.attrs["diverged_epochs"] == [1]
    for split in run.splits:
        np.testing.assert_array_equal(dataset[f"example_{split}"], run.ids[split])
        np.testing.assert_array_equal(dataset[f"label_{split}"], run.labels[split])


def test_selection_by_label(run):
    dataset = run.to_xarray()
    assert (
        dataset.correct_test.sel(extent=5, member=3, example_test="é4")
        == (run.correct("test", 5)[0, 2, 4])
    )


@pytest.mark.parametrize("extents", [5, [5, 0], []])
def test_some_extents(run, extents):
    dataset = run.to_xarray(extents)
    wanted = np.atleast_1d(np.array(extents, int)).tolist()
    assert dataset.extent.values.tolist() == wanted
    assert dataset.identical(run.to_xarray().sel(extent=wanted))


def test_what_members_were_trained_on(run):
    dataset = run.to_xarray()
    for name in ("train_mask", "train_labels"):
        assert dataset[name].dims == ("member", "example_train")
        np.testing.assert_array_equal(dataset[name], getattr(run, name))


@pytest.mark.parametrize("diverged", [[], [2]])
@pytest.mark.parametrize("num_classes", [3, 200])
def test_can_be_written_with_what_is_installed(toy, tmp_path, diverged, num_classes):
    toy.write_run(tmp_path / "run", toy.manifest(num_classes=num_classes), diverged=diverged)
    dataset = load_run(tmp_path / "run").to_xarray()
    dataset.to_netcdf(tmp_path / "run.nc", engine="scipy")
    with xarray.open_dataset(tmp_path / "run.nc", engine="scipy") as written:
        assert set(written.variables) == set(dataset.variables)
        for name, variable in dataset.variables.items():
            np.testing.assert_array_equal(written[name], variable)
        assert np.atleast_1d(written.attrs["diverged_members"]).tolist() == diverged


def test_large_integers_can_be_written_too(toy, tmp_path):
    """Seeds to 2^32 - 1, and ids of 64 bits, of which netCDF 3 has neither."""
    seeds = [2**32 - 1, 0, 1, 2]
    manifest = toy.manifest(hyperparameters={"seed": seeds})
    splits = toy.splits()
    splits["train"].ids = np.arange(13) + 2**62
    writer = RunWriter.create(tmp_path / "run", manifest, splits)
    for extent in manifest.extents:
        writer.write_extent(toy.record(manifest, extent))
    dataset = load_run(tmp_path / "run").to_xarray()
    dataset.to_netcdf(tmp_path / "run.nc", engine="scipy")
    with xarray.open_dataset(tmp_path / "run.nc", engine="scipy") as written:
        assert written["seed"].values.tolist() == seeds
        assert written["example_train"].values.tolist() == [str(2**62 + i) for i in range(13)]
