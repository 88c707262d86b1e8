"""The explorer of a run inside a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from ensemble_jax.cli.dataset import check_same_data
from ensemble_jax.data import Dataset
from ensemble_jax.report.exhibits import find_material
from ensemble_jax.report.explorer import make_explorer
from ensemble_jax.report.history import read_histories
from ensemble_jax.report.page import Page, render_page
from ensemble_jax.report.run_report import check_scorable
from ensemble_jax.runs import Run
from ensemble_jax.runs.files import replace_file


@dataclass(frozen=True, repr=False)
class InlinePage:
    """A page that a notebook shows in a frame, cut off from all else in the notebook.

    Attributes:
        html: the whole page; it needs nothing else.
        height: of the frame, in pixels.
    """

    html: str
    height: int

    def save(self, path: str | Path) -> None:
        """Write the page to a file, as a whole or not at all."""
        replace_file(Path(path), self.html.encode())

    def _repr_html_(self) -> str:
        """Without `allow-same-origin` the frame's script reaches nothing of the notebook."""
        return (
            f'<iframe title="Explorer" sandbox="allow-scripts allow-downloads" width="100%" '
            f'height="{self.height}" style="border: 0" srcdoc="{escape(self.html)}"></iframe>'
        )

    def __repr__(self) -> str:
        return (
            f"InlinePage({len(self.html) / 1e6:.1f} MB; a notebook shows it, save(path) keeps it)"
        )


def explore(
    run: Run, *, data: Dataset | None = None, data_dir: str = "", height: int = 900
) -> InlinePage:
    """The explorer of the run's report, for a notebook: see `Run.explore`."""
    check_scorable(run)
    if data is not None:
        check_same_data(data, run)
    if height < 1:
        raise ValueError(f"height must be at least 1 pixel, got {height}")
    explorer = make_explorer(run, read_histories(run), find_material(run, data, data_dir))
    title = f"{run.model} on {run.manifest.data.name}"
    page = Page(title, "", warnings=[], highlights=[], sections=[], explorer=explorer)
    return InlinePage(render_page(page), height)
