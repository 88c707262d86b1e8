"""Figures one after another, from what is trained once for all of them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ensemble_jax.cli import binary
from ensemble_jax.cli.translate import collections_of, training_of
from ensemble_jax.report.run_report import check_scorable
from ensemble_jax.reproduction.figures import Figure
from ensemble_jax.reproduction.material import Collection, Material
from ensemble_jax.reproduction.recipes import RECIPES, Scale
from ensemble_jax.reproduction.results import compare_with_published, comparison_lines, write_figure
from ensemble_jax.reproduction.trainings import Sources, Training, check_run, resolve
from ensemble_jax.runs import Run, load_run
from ensemble_jax.sweeping import run_sweep
from ensemble_jax.trainer import run_training, tell_diverged


@dataclasses.dataclass(frozen=True)
class Session:
    """What is to be trained, all of it checked.

    Attributes:
        scale: of all figures.
        folder: where runs and figures go.
        data_dir: the folder of data sets.
        trainings: by the name of the recipe.
        runs: those that lie elsewhere, by the name of the recipe.
    """

    scale: Scale
    folder: Path
    data_dir: str
    trainings: Mapping[str, Training]
    runs: Mapping[str, Run]

    @classmethod
    def prepare(
        cls,
        figures: Sequence[Figure],
        scale: Scale,
        sources: Sources,
        folder: Path,
        runs: Mapping[str, str],
    ) -> Session:
        """Check that everything is there, before anything is trained.

        Args:
            figures: those to be made.
            scale: of all of them.
            sources: what the user has.
            folder: where runs and figures go.
            runs: directories of runs to be taken, by the name of their collection.

        Raises:
            ValueError: if a data set is absent, or a run is of another collection than wanted.
            FileNotFoundError: if there is no such run.
        """
        names = dict.fromkeys(name for figure in figures for name in figure.needs(scale))
        trainings = {name: resolve(RECIPES[name], scale, sources, runs) for name in names}
        for training in trainings.values():
            training.config.validate()
        for figure in figures:
            if figure.sweeps is not None:
                base = trainings[figure.needs(scale)[0]].config
                for sweep in figure.sweeps(base, scale).values():
                    sweep.validate()
        return cls(scale, folder, sources.data_dir, trainings, _load_runs(trainings, runs))

    @property
    def remarks(self) -> list[str]:
        """What stands in for what, in lines."""
        return [
            f"{training.name}: {training.set_name} in place of {training.in_place_of}: "
            f"{training.reason}"
            for training in self.trainings.values()
            if training.in_place_of
        ]

    def reproduce(self, figure: Figure) -> Iterator[str]:
        """Train what is missing, draw and write the figure; lines for people."""
        yield f"{figure.title}: {figure.shows}"
        start = time.perf_counter()
        material = self._train(figure)
        drawing = figure.draw(material)
        directory = self.folder / _folder_name(figure)
        for path in write_figure(figure, drawing, material, directory):
            yield f"wrote {path}"
        yield from comparison_lines(compare_with_published(figure, drawing))
        yield from drawing.remarks
        yield f"{figure.title} took {time.perf_counter() - start:.0f} s"

    def _train(self, figure: Figure) -> Material:
        needed = figure.needs(self.scale)
        collections = {name: Collection(self.trainings[name], self._run(name)) for name in needed}
        sweeps = {}
        if figure.sweeps is not None:
            base = self.trainings[needed[0]].config
            for option, sweep in figure.sweeps(base, self.scale).items():
                folder = self.folder / figure.number / option.replace(" ", "_")
                sweeps[option] = run_sweep(sweep.settings, collections_of(sweep), folder)
        return Material(self.scale, collections, sweeps, self.data_dir)

    def _run(self, name: str) -> Run:
        if name in self.runs:
            return self.runs[name]
        training = self.trainings[name]
        folder = self.folder / training.name
        config = training.config
        if (folder / "run.json").exists():
            # A run is continued under the plan that it was begun with.
            config = dataclasses.replace(config, plan=load_run(folder).config["plan"])
        run = run_training(training_of([config]), folder)
        tell_diverged(run)
        check_scorable(run)
        return run


def _load_runs(trainings: Mapping[str, Training], runs: Mapping[str, str]) -> dict[str, Run]:
    """The runs of the user, by the name of their recipe."""
    recipe_of = {training.name: name for name, training in trainings.items()}
    loaded = {}
    for name, directory in runs.items():
        if name not in recipe_of:
            known = {name: name for name in recipe_of}
            raise ValueError(
                f"--runs must be of {', '.join(recipe_of)}, got {name!r}"
                f"{binary.suggestion(name, known)}"
            )
        run = load_run(directory)
        check_run(trainings[recipe_of[name]], run)
        check_scorable(run)
        loaded[recipe_of[name]] = run
    return loaded


def _folder_name(figure: Figure) -> str:
    return figure.title.replace(" ", "_")
