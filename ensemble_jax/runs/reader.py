"""Reading a run, finished or still being written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Num, Shaped

from ensemble_jax.runs.arrays import RunArrays
from ensemble_jax.runs.examples import ExampleTable
from ensemble_jax.runs.parts import Part, check_joinable, joined_manifest, read_part, read_parts
from ensemble_jax.runs.summary import summarize

if TYPE_CHECKING:
    import datasets
    import pandas
    import xarray

    from ensemble_jax.data import Dataset
    from ensemble_jax.report.inline import InlinePage
    from ensemble_jax.runs.samples import HeldOutProbabilities


@dataclass(frozen=True, eq=False, repr=False)
class Run(RunArrays):
    """A run as it was when it was loaded: `load_run`.

    Its arrays are those of `RunArrays`; here is what is made of them with other libraries.
    """

    def params(self, member: int | None = None) -> Any:
        """The trained parameters at the last checkpoint, nested dictionaries of arrays by name.

        `[N, ...]` of all `members`, or those of one, by its id.

        Raises:
            ValueError: if there is no such member, or no checkpoint that can be read.
        """
        from ensemble_jax.trained import params_of  # imports JAX

        return params_of(self, member)

    def predict(
        self,
        inputs: Shaped[np.ndarray, "M ..."],
        *,
        network: Any = None,
        members: Sequence[int] | None = None,
        probabilities: bool = False,
    ) -> Float[np.ndarray, "N M K"]:
        """The outputs of the trained members for further examples; see `trained.predict`."""
        from ensemble_jax.trained import predict  # imports JAX

        return predict(self, inputs, network=network, members=members, probabilities=probabilities)

    def export(self, member: int, path: str | os.PathLike) -> None:
        """Write a trained member, readable without this package.

        A file of safetensors (`pip install safetensors`) where the path ends in `.safetensors`,
        else a folder of Orbax's `StandardCheckpointer`. It holds nested dictionaries: `params`,
        `state` if there is any (a linen module is applied to `{"params": params, **state}`), and
        `normalisation` with `mean` and `std`: the network was trained on `(inputs - mean) / std`.
        In safetensors names are joined by dots, such as `params.Dense_0.kernel`.

        Args:
            member: its id.
            path: what does not exist yet.

        Raises:
            ValueError: if the path exists, or there is no such member or no checkpoint.
            ModuleNotFoundError: if safetensors is not installed.
        """
        from ensemble_jax.trained import export  # imports JAX

        export(self, member, path)

    def to_xarray(self, extents: int | Sequence[int] | None = None) -> xarray.Dataset:
        """The run as a labelled Dataset.

        Dimensions `extent`, `member`, `example_SPLIT`, `example_PROBE` and `class`, whose
        coordinates are the epochs, the members' ids, the examples' ids and the names of the
        classes; `label_SPLIT`, `true_label_SPLIT` where the truth is known and the members'
        hyperparameters are further coordinates. Variables `correct_SPLIT`, `predictions_SPLIT`,
        `predictions_PROBE` (extent, member, example), `recorded_QUANTITY_NAME` (the same, and class
        for some) as float32, `loss_SPLIT` and `accuracy_SPLIT` (extent, member),
        `train_images_per_second` (extent), `train_mask` and `train_labels` (member, example). Data
        set, protocol and the members that diverged are attributes. Votes are left out: they follow
        from the predictions, and are often larger (see `votes`). `to_netcdf` of the Dataset writes
        it with what this package installs.

        Takes `E N M` bytes for each of correct and predictions (twice that above 128 classes) and
        `4 E N M` for each recorded quantity, or K times that.

        Raises:
            ValueError: if there is no such extent, or a record is damaged.
        """
        from ensemble_jax.runs.labelling import make_dataset  # imports xarray, which loads slowly

        return make_dataset(self, self._selected(extents))

    def to_pandas(
        self,
        split: str = "train",
        extents: Sequence[int] | None = None,
        *,
        records: bool = False,
    ) -> pandas.DataFrame:
        """The examples of a split as a table.

        A row for each example: `id`, `label`, `class` (its name), `true_label` where there is one
        (-1: unknown), of the split `train` also `train_share` (of the members that were trained on
        it), and every score that follows from what was recorded, by the names of `analysis.SCORES`,
        averaged over the members, with its standard error as `NAME_error` where it has one.

        With `records` a row for each extent, member and example, in this order: `extent`, `member`,
        `id`, `label`, `class`, `true_label`, of the split `train` also `train_mask`, then
        `correct`, `prediction` and each quantity that was recorded, those of all classes as
        `QUANTITY_CLASS`. Takes about `60 E N M` bytes.

        `ensemble_jax.write_frame` writes it as `.csv` or `.parquet`, `read_frame` reads it back.

        Args:
            split: whose examples.
            extents: the epochs to read; all by default.
            records: what each member did instead of scores.

        Raises:
            ValueError: if there is no such split or extent, a record is damaged, or N is 0.
        """
        from ensemble_jax.runs.tables import example_table, record_table  # imports pandas

        make = record_table if records else example_table
        return make(self, self._labelled(split), self._selected(extents))

    def to_huggingface(
        self,
        split: str = "train",
        extents: Sequence[int] | None = None,
        *,
        records: bool = False,
        data: Dataset | None = None,
    ) -> datasets.Dataset:
        """The examples of a split as a table of Hugging Face's `datasets` (`pip install datasets`).

        The columns of `to_pandas` but for `class`: labels and predictions are `ClassLabel`s, which
        have the names of the classes; -1 where a true label is unknown. With `data` also `image`
        (an `Image`, PNG) or `text`, so that `push_to_hub` publishes the set with its scores.

        Args:
            split: whose examples.
            extents: the epochs to read; all by default.
            records: what each member did instead of scores, without `data`.
            data: what the run is on.

        Raises:
            ValueError: as `to_pandas` does, or if the data are others, or neither pictures nor
                texts.
            ModuleNotFoundError: without `datasets`.
        """
        from ensemble_jax.runs.samples import huggingface_table  # imports pandas

        chosen = self._selected(extents)
        return huggingface_table(self, self._labelled(split), chosen, records, data)

    def to_cleanlab(self, split: str = "train", extent: int | None = None) -> HeldOutProbabilities:
        """`labels` `[M]` and `pred_probs` `[M, K]`, as `cleanlab.filter.find_label_issues` takes.

        The mean probabilities of the members that were not trained on an example, of members with
        `folds` or a `subset_fraction`; of the split `test` those of all members.

        Args:
            split: whose examples, of which probabilities or logits were recorded.
            extent: the last by default.

        Raises:
            ValueError: if neither was recorded, an example was never held out, or there is no such
                split or extent.
        """
        from ensemble_jax.runs.samples import held_out_probabilities  # imports pandas

        (chosen,) = self._selected(self.extents[-1] if extent is None else extent)
        return held_out_probabilities(self, self._labelled(split), chosen)

    def to_samples(
        self,
        split: str = "train",
        extents: Sequence[int] | None = None,
        *,
        data: Dataset | None = None,
        files: str | os.PathLike[str] | None = None,
        embedding: Num[Any, "M D"] | None = None,
    ) -> pandas.DataFrame:
        """The examples of a split for tools to look at them, such as FiftyOne and Spotlight.

        A row for each example: `filepath` (with `files`), `image` (a PNG file's bytes) or `text`
        (with `data`), `example_id`, `label`, `true_label` where there is one and `prediction` (of
        most members at the last extent), all three as names of classes and empty where unknown,
        every score of `to_pandas`, and `embedding`, a vector of each. docs/scores.md shows how the
        tools take it.

        Args:
            split: whose examples.
            extents: the epochs to read; all by default.
            data: what the run is on, for pictures and texts.
            files: the folder that the ids are relative to, where these are paths of images.
            embedding: `[M, D]`, by which examples that lie close are alike; by default what members
                say of each class at the last extent: mean probabilities or, where these were not
                recorded, shares of votes.

        Raises:
            ValueError: as `to_pandas` does, if the data are others, or neither pictures nor texts,
                a file is missing, or there is not one vector for each example.
        """
        from ensemble_jax.runs.samples import sample_table  # imports pandas

        chosen = self._selected(extents)
        return sample_table(self, self._labelled(split), chosen, data, files, embedding)

    def explore(
        self, *, data: Dataset | None = None, data_dir: str = "", height: int = 900
    ) -> InlinePage:
        """The explorer of `report.html` for a notebook: map, histogram, table and pictures.

        Args:
            data: what the run is on, for the pictures; by default it is loaded, where the run knows
                it by a name.
            data_dir: where tensorflow-datasets has prepared its sets; empty means its own default.
            height: of the frame, in pixels.

        Raises:
            ValueError: if no extent is finished, all members diverged, the data are others, or the
                height is not positive.
        """
        from ensemble_jax.report.inline import explore  # imports matplotlib

        return explore(self, data=data, data_dir=data_dir, height=height)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return summarize(self)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} [{size}]" for name, size in self.manifest.data.sizes.items())
        return (
            f"Run({str(self.directory)!r}: {len(self.members)} members, {len(self.diverged)} "
            f"diverged, extents {list(self.extents)}, {sizes}, {self.num_classes} classes)"
        )


def load_run(
    directory: str | os.PathLike, *, include_diverged: bool = False, own_part: bool = False
) -> Run:
    """Open a run for reading, finished or not.

    A run of several parts (trained by several processes, or grown) is read as one: its members are
    those of all parts, in increasing order of their ids.

    Where every member diverged, N is 0.

    Args:
        directory: the run directory.
        include_diverged: keep the members whose loss became non-finite. They are frozen from then
            on, and say nothing about learning, so by default no array contains them at any extent.
        own_part: read the members alone whose records lie in the folder itself.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it is not a run, is broken, damaged or was written in a newer format, or if
            a part is missing or of another run.
    """
    directory = Path(directory)
    parts = (read_part(directory),) if own_part else read_parts(directory)
    # Extents are added to one part after another.
    examples = check_joinable(parts, ignored=("extents",))
    return join_parts(directory, parts, examples, include_diverged)


def join_parts(
    directory: Path,
    parts: Sequence[Part],
    examples: ExampleTable,
    include_diverged: bool,
) -> Run:
    """Parts that fit, see `check_joinable`, as one run.

    Raises:
        ValueError: if a record is damaged.
    """
    manifest = joined_manifest(parts)
    finished = set.intersection(*(set(part.extents) for part in parts))
    diverged: dict[int, int] = {}
    for part in parts:
        diverged |= part.diverged_members()
    return Run(
        directory,
        manifest,
        tuple(parts),
        tuple(extent for extent in manifest.extents if extent in finished),
        np.array([m for m in manifest.members if include_diverged or m not in diverged], int),
        dict(sorted(diverged.items())) if len(parts) > 1 else diverged,
        examples,
    )
