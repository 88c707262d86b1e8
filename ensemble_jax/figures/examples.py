"""How the consistency of single examples moves while a collection learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int, Shaped
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from ensemble_jax.analysis import choose_typical_examples
from ensemble_jax.figures.display import NewFigure, ResultDisplay

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "os^Dv<>"
_MOST_MARKERS = 14
_SIZE = (5.6, 3.4)
_MARGIN = 0.03
# Characters, of which four names fit into a line of the legend.
_SHORT_NAME = 16


@dataclass(eq=False)
class ExampleCurvesDisplay(ResultDisplay):
    """Figure 29 of Hacohen & Weinshall (2019): the consistency of chosen examples by extent.

    Beside the curves the images, framed in the colours of the curves, if there are any.

    Attributes:
        curves: by what is to be said of an example, `[E]` in [0, 1]; at most seven.
        extents: `[E]`, rising.
        images: by the same names `[H, W]` or `[H, W, 1 or 3]`, bytes or numbers in [0, 1]; empty if
            the examples are no images.
        title: what was trained on what.
    """

    curves: Mapping[str, Float[np.ndarray, " E"]]
    extents: Sequence[int] | Int[np.ndarray, " E"]
    images: Mapping[str, Shaped[np.ndarray, "H W ..."]]
    title: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.curves) <= len(_COLOURS):
            raise ValueError(
                f"curves must be 1 to {len(_COLOURS)}, which can be told apart, "
                f"got {len(self.curves)}"
            )
        if self.images and list(self.images) != list(self.curves):
            raise ValueError(
                f"images must be of the same examples as the curves, {list(self.curves)}, "
                f"got {list(self.images)}"
            )
        for name, curve in self.curves.items():
            if np.shape(curve) != (len(self.extents),):
                raise ValueError(
                    f"curves must be [E] with E = {len(self.extents)} extents, "
                    f"got the shape {np.shape(curve)} for {name}"
                )

    @classmethod
    def of_typical_examples(
        cls,
        scores: Shaped[Any, "E M"],
        extents: Sequence[int] | Int[np.ndarray, " E"],
        images: Shaped[Any, "M H W ..."] | None = None,
        title: str = "",
    ) -> Self:
        """The display of the examples that `choose_typical_examples` finds.

        Args:
            scores: `[E, M]`, consistency scores.
            extents: `[E]`, rising.
            images: `[M, H, W, ...]`, if the examples are images.
            title: what was trained on what.

        Raises:
            ValueError: fewer than 3 extents, or no example shows any pattern.
        """
        chosen = {p.value: example for p, example in choose_typical_examples(scores).items()}
        history = np.asarray(scores)
        return cls(
            {name: history[:, example] for name, example in chosen.items()},
            extents,
            {} if images is None else {name: images[example] for name, example in chosen.items()},
            title,
        )

    def table(self) -> list[dict[str, Any]]:
        """A row for each example and extent."""
        return [
            {"example": name, "extent": extent, "consistency": float(score)}
            for name, curve in self.curves.items()
            for extent, score in zip(self.extents, curve, strict=True)
        ]

    def _draw(self, new_figure: NewFigure) -> tuple[FigureBase, np.ndarray]:
        figure = new_figure(*_SIZE)
        count = len(self.curves)
        layout: list[Any] = (
            [["curves", f"image {row}"] for row in range(count)] if self.images else [["curves"]]
        )
        ratios = [count * 1.2, 1] if self.images else [1]
        axes = figure.subplot_mosaic(layout, width_ratios=ratios)
        panel = axes["curves"]
        for row, (name, curve) in enumerate(self.curves.items()):
            colour = _COLOURS[row]
            panel.plot(
                self.extents,
                curve,
                color=colour,
                marker=_MARKERS[row],
                markevery=max(1, len(self.extents) // _MOST_MARKERS),
                label=name,
                clip_on=False,
            )
            if self.images:
                _show_image(axes[f"image {row}"], self.images[name], colour)
        panel.set_ylim(-_MARGIN, 1 + _MARGIN)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        panel.set_xlabel("epoch")
        panel.set_ylabel("consistency score")
        fitting = 4 if max(map(len, self.curves)) <= _SHORT_NAME else 2
        figure.legend(loc="outside lower center", ncols=min(count, fitting))
        figure.suptitle(self.title)
        return figure, np.array(list(axes.values()))


def _show_image(panel, image, colour):
    """A thumbnail in a frame of that colour."""
    pixels = np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    largest = 255 if pixels.dtype == np.uint8 else 1
    panel.imshow(pixels, cmap="gray", vmin=0, vmax=largest, interpolation="nearest")
    panel.set_xticks([])
    panel.set_yticks([])
    for spine in panel.spines.values():
        spine.set(visible=True, color=colour, linewidth=2)
