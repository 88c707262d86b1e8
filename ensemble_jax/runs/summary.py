"""A run as a notebook shows it: what it is, and how its members learned, in a small table."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from ensemble_jax.runs.arrays import RunArrays

_WIDTH, _HEIGHT = 120, 24
_COLUMNS = ("set", "examples", "accuracy by epoch", "last, mean", "least", "most", "loss by epoch")
_RIGHT = "text-align: right; font-variant-numeric: tabular-nums"


def summarize(run: RunArrays) -> str:
    """The run as HTML without any script; every name in it is escaped.

    It reads the metrics of the extents, which are small, and no predictions.
    """
    epochs = f"{run.extents[0]} to {run.extents[-1]}" if run.extents else "none yet"
    facts = [
        f"{len(run.members)} members",
        *([f"{len(run.diverged)} diverged and left out"] if run.diverged else []),
        f"{len(run.extents)} extents, epochs {epochs}",
        *([] if run.finished else [f"not finished, {len(run.manifest.extents)} asked for"]),
        f"{run.num_classes} classes",
    ]
    title = f"{run.model} on {run.manifest.data.name}"
    parts = [
        f"<div><strong>{escape(title)}</strong>",
        f"<br>{escape('; '.join(facts))}<br><small>{escape(str(run.directory))}</small>",
    ]
    if run.extents and len(run.members):
        head = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
        rows = "".join(_row(run, split) for split in run.splits)
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
    return "".join([*parts, "</div>"])


def _row(run: RunArrays, split: str) -> str:
    accuracy, loss = run.metrics[f"{split}_accuracy"], run.metrics[f"{split}_loss"]
    last = accuracy[-1]
    numbers = (f"{100 * value:.1f} %" for value in (last.mean(), last.min(), last.max()))
    cells = [
        f'<td style="{_RIGHT}">{len(run.labels[split]):,}</td>',
        f"<td>{sparkline(run.extents, accuracy, 0, 1)}</td>",
        *(f'<td style="{_RIGHT}">{number}</td>' for number in numbers),
        f"<td>{sparkline(run.extents, loss, 0, max(1e-9, float(np.nanmax(loss))))}</td>",
    ]
    return f'<tr><th scope="row">{escape(split)}</th>{"".join(cells)}</tr>'


def sparkline(
    positions: tuple[int, ...], values: Float[np.ndarray, "E N"], low: float, high: float
) -> str:
    """The mean over the members as a line in a band from the least to the most, as SVG.

    Args:
        positions: E of them, ascending.
        values: `[E, N]`.
        low: the value at the lower edge.
        high: the value at the upper edge.
    """
    span = max(1, positions[-1] - positions[0])
    across = [(position - positions[0]) / span * _WIDTH for position in positions]

    def points(of_extents):
        up = (1 - (np.clip(of_extents, low, high) - low) / (high - low)) * _HEIGHT
        return [f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True)]

    mean, least, most = values.mean(axis=1), values.min(axis=1), values.max(axis=1)
    band = " ".join([*points(most), *reversed(points(least))])
    told = ", ".join(f"{at}: {value:.3g}" for at, value in zip(positions, mean, strict=True))
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="-2 -2 {_WIDTH + 4} {_HEIGHT + 4}" '
        f'role="img" aria-label="mean by epoch: {told}">'
        f'<polygon points="{band}" fill="#3f7fc1" fill-opacity="0.3"/>'
        f'<polyline points="{" ".join(points(mean))}" fill="none" stroke="#3f7fc1" '
        f'stroke-width="1.5"/></svg>'
    )
