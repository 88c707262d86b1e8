r"""Draws the pictures of README and glossary from two runs, whose bits lie beside them.

    python docs/pictures.py                                # draws all of docs/images
    python docs/pictures.py runs/digits_all digits         # takes the bits of a run

The runs are of the paper's small st-VGG, 20 members each, on scikit-learn's digits and on
small_mammals (five classes of CIFAR-100):

    ensemble-jax train --config.extents=$(seq -s, 0 25) --workdir=runs/digits_all
    ensemble-jax train --config=small_mammals --config.model=small_st_vgg --config.num_members=20 \
        --config.extents=0,1,2,3,4,5,6,7,8,9,10,12,15 --config.data_dir=DIR \
        --workdir=runs/small_mammals
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
from sklearn.datasets import load_digits

import ensemble_jax as ej
from ensemble_jax.analysis import accessibility_score, bimodality, consistency_score

IMAGES = Path(__file__).parent / "images"
_BLUE, _GREY, _ORANGE = "#0072B2", "#9a9a9a", "#D55E00"
_FRAME_MILLISECONDS, _LAST_MILLISECONDS = 700, 2500


class Bits(NamedTuple):
    """What members got right on the test split of a run.

    Attributes:
        correct: bool `[E, N, M]`.
        extents: `[E]`.
        labels: `[M]`.
        ids: `[M]`.
        num_classes: K.
    """

    correct: np.ndarray
    extents: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    num_classes: int

    @property
    def independent(self) -> np.ndarray:
        """`[E, N, M]`, members of the same accuracies that err independently."""
        accuracies = self.correct.mean(axis=2)
        predictions = ej.analysis.independent_baseline(
            accuracies, self.labels, self.num_classes, seed=0
        )
        return predictions == self.labels


def store(directory: str, name: str) -> None:
    """Keep the bits of a run beside the pictures."""
    run = ej.load_run(directory)
    np.savez_compressed(
        IMAGES / f"{name}.npz",
        bits=run.bits("test"),
        extents=run.extents,
        labels=run.labels["test"],
        ids=run.ids["test"],
        num_classes=run.num_classes,
    )


def read(name: str) -> Bits:
    """The bits of a stored run."""
    with np.load(IMAGES / f"{name}.npz") as stored:
        size = len(stored["labels"])
        correct = np.unpackbits(stored["bits"], axis=-1, count=size).astype(bool)
        rest = (stored[key] for key in ("extents", "labels", "ids"))
        return Bits(correct, *rest, int(stored["num_classes"]))


def draw_frames(bits: Bits) -> list[PIL.Image.Image]:
    """A histogram of the consistency scores for each extent, that of independent members behind."""
    real, independent = consistency_score(bits.correct), consistency_score(bits.independent)
    num_members = bits.correct.shape[1]
    frames = []
    for row, extent in enumerate(bits.extents):
        figure, axis = plt.subplots(figsize=(7.2, 3.3), layout="constrained")
        for scores, style in (
            (independent, {"color": _GREY, "alpha": 0.35, "label": "if they erred independently"}),
            (real, {"color": _BLUE, "alpha": 0.85, "label": f"{num_members} networks"}),
        ):
            heights = np.bincount(np.rint(scores[row] * num_members).astype(int))
            heights = np.pad(heights, (0, num_members + 1 - len(heights))) / len(bits.labels)
            label = f"{style.pop('label')}: bimodality {bimodality(scores)[row]:.2f}"
            axis.bar(np.arange(num_members + 1), heights, width=0.9, label=label, **style)
        axis.set(
            xlim=(-0.7, num_members + 0.7),
            ylim=(0, 0.42),
            xticks=range(0, num_members + 1, num_members // 4),
            xlabel="how many networks are right about a test image",
            ylabel="share of the test images",
        )
        accuracy = bits.correct[row].mean()
        axis.set_title(f"epoch {extent}, accuracy {accuracy:.0%}", loc="left", fontsize=11)
        axis.legend(loc="upper center", frameon=False, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        frames.append(_as_image(figure))
    return frames


def draw_members(bits: Bits) -> plt.Figure:
    """Rows are members, columns test examples from hard to easy; dark where one is right."""
    row = list(bits.extents).index(3)
    order = np.argsort(accessibility_score(bits.correct))
    chosen = order[np.linspace(0, len(order) - 1, 60).astype(int)]
    figure, axis = plt.subplots(figsize=(7.2, 2.9), layout="constrained")
    axis.pcolormesh(
        bits.correct[row][:, chosen], cmap="Blues", vmin=-0.15, vmax=1.3, edgecolors="w", lw=0.6
    )
    axis.set(xlabel="60 test digits, from hard to easy", ylabel="20 members", xticks=[], yticks=[])
    axis.set_title("epoch 3: dark where a member is right about a digit", loc="left", fontsize=10)
    axis.spines[:].set_visible(False)
    return figure


def draw_extents(bits: Bits) -> plt.Figure:
    """The accuracy of each member at each extent."""
    accuracies = bits.correct.mean(axis=2)
    asked = np.isin(bits.extents, (0, 1, 3, 5, 8, 12, 25))
    figure, axis = plt.subplots(figsize=(7.2, 2.9), layout="constrained")
    axis.plot(bits.extents, accuracies, color=_GREY, lw=0.7, alpha=0.6)
    axis.plot(bits.extents[asked], accuracies[asked].mean(axis=1), "o", color=_BLUE, ms=7)
    axis.set(xlabel="epoch", ylabel="test accuracy", xticks=bits.extents[asked])
    title = "dots: the extents asked for, mean of 20 members; lines: each member"
    axis.set_title(title, loc="left", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def draw_accessibility(bits: Bits) -> plt.Figure:
    """The consistency of an easy, a middling and a hard digit over the epochs."""
    scores = consistency_score(bits.correct)
    accessibility = accessibility_score(bits.correct)
    order = np.argsort(accessibility)
    images = load_digits().images
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.6), sharey=True, layout="constrained")
    for axis, place in zip(axes, (0.99, 0.12, 0.01), strict=True):
        example = order[int(place * len(order))]
        axis.fill_between(bits.extents, scores[:, example], color=_BLUE, alpha=0.25)
        axis.plot(bits.extents, scores[:, example], color=_BLUE)
        axis.set_title(f"accessibility {accessibility[example]:.2f}", fontsize=10)
        axis.set(xlabel="epoch", ylim=(0, 1.05))
        axis.spines[["top", "right"]].set_visible(False)
        inset = axis.inset_axes((0.68, 0.3, 0.3, 0.4))
        inset.imshow(images[bits.ids[example]], cmap="gray_r")
        inset.set(xticks=[], yticks=[])
    axes[0].set_ylabel("share of members\nthat are right")
    return figure


def draw_bimodality(bits: Bits) -> plt.Figure:
    """Scores of real members beside those of independent ones."""
    row = list(bits.extents).index(3)
    num_members = bits.correct.shape[1]
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.7), sharey=True, layout="constrained")
    shown = {"these networks": (bits.correct, _BLUE), "independent": (bits.independent, _GREY)}
    for axis, (name, (correct, colour)) in zip(axes, shown.items(), strict=True):
        scores = consistency_score(correct)[row]
        edges, fractions = ej.analysis.score_histogram(scores[None], num_members)
        axis.stairs(fractions[0], edges, fill=True, color=colour)
        axis.set_title(f"{name}: {bimodality(scores):.2f}", fontsize=10)
        axis.set_xlabel("consistency score")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("share of the test images")
    return figure


def _as_image(figure: plt.Figure) -> PIL.Image.Image:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    plt.close(figure)
    return PIL.Image.open(file).convert("RGB").quantize(64)


def draw_all(folder: Path = IMAGES) -> None:
    """Write the animation of the README and the pictures of the glossary."""
    digits, mammals = read("digits"), read("small_mammals")
    first, *rest = draw_frames(mammals)
    durations = [_FRAME_MILLISECONDS] * len(rest) + [_LAST_MILLISECONDS]
    first.save(
        folder / "learning.gif", save_all=True, append_images=rest, duration=durations, loop=0
    )
    for name, figure in {
        "member": draw_members(digits),
        "extent": draw_extents(digits),
        "accessibility": draw_accessibility(digits),
        "bimodality": draw_bimodality(mammals),
    }.items():
        _as_image(figure).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    matplotlib.use("agg")
    if sys.argv[1:]:
        store(*sys.argv[1:])
    draw_all()
