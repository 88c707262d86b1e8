r"""Wrong labels are found better than by cross-validation or one run, with the same computation.

Run: python -m benchmarks.wrong_labels --data=FOLDER
Takes about 40 minutes on two cores that do nothing else.

FOLDER holds `cifar10_human.npz`, 8,000 train images of CIFAR-10 with the labels that one person
gave (CIFAR-10N 'random 1', 17.65 % of which are wrong; Wei et al., ICLR 2022), and
`cifar10_human_truth.npz` with the published labels, which nothing here is trained on.

What is done, for every repetition: five members in a cross-validation, and one on everything; a
small convolutional network with flips and crops, whose learning rate warms up and falls by a
cosine. All that is compared is of these members, so that every way has the same network, the same
epochs and at most the computation of the cross-validation:

| way | of |
|---|---|
| ensemble_jax audit | `find_label_issues`, of the cross-validation with all its extents |
| cleanlab self-confidence, normalized margin | held-out probabilities of the cross-validation at the epoch that the held-out labels choose, by cleanlab itself |
| area under the margin | the mean margin over all extents of the one run (Pleiss 2020) |
| cartography confidence | the mean probability of the label over them (Swayamdipta 2020) |

What the numbers mean: AUROC, average precision, and the precision among the 100 most suspect and
among as many as are wrong; the difference of each to the audit's is that of one repetition. Seconds
are those of training, from the run's own record. Medians (least-largest) of the repetitions.

Results: `results.json` with every repetition and `table.md` in `--output`. The exit code is 1 where
the audit is not above every other way in every repetition, by AUROC and average precision.
"""  # noqa: E501

from __future__ import annotations

import contextlib
import importlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optax
from absl import app, flags
from flax import linen as nn

import ensemble_jax as ej
from benchmarks.environment import define_output, describe_environment, write_page
from benchmarks.summary import Spread, markdown
from ensemble_jax.analysis import (
    area_under_margin,
    confidence,
    detection,
    find_label_issues,
    member_mean,
)

_DATA = flags.DEFINE_string("data", None, "The folder of both files.", required=True)
_REPETITIONS = flags.DEFINE_integer("repetitions", 3, "Of everything.", lower_bound=1)
_EPOCHS = flags.DEFINE_integer("epochs", 20, "Every second one is an extent.", lower_bound=2)
_EXAMPLES = flags.DEFINE_integer("examples", 8000, "The first ones of the set.", lower_bound=100)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where runs are kept, so that the same command continues; none by default."
)
_OUTPUT = define_output("wrong_labels")

_FOLDS = 5
_BATCH_SIZE = 100
_TEST_IMAGES = 100  # nothing is asked of them
_AUDIT = "ensemble_jax audit"


class SmallCNN(nn.Module):
    """Four convolutions with batch normalisation, three of them pooled; 253,000 parameters."""

    @nn.compact
    def __call__(self, images, train: bool):
        """Logits `[B, 10]` of images `[B, 32, 32, 3]`."""
        x = images
        for features, pooled in ((32, True), (64, True), (128, False), (128, True)):
            x = nn.Conv(features, (3, 3), use_bias=False)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
            if pooled:
                x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.Dropout(0.3, deterministic=not train)(x.mean((1, 2)))
        return nn.Dense(10)(x)


def optimizer(hp):
    """SGD with momentum; the learning rate warms up over a tenth of the steps."""
    steps = hp.num_steps
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1.0, steps // 10, steps, 0.01)
    rule = optax.sgd(lambda step: hp.learning_rate * schedule(step), momentum=0.9, nesterov=True)
    return optax.chain(optax.add_decayed_weights(5e-4), rule)


def main(_: Sequence[str]) -> int:
    """Train, score, compare, write."""
    environment = describe_environment()
    folder = Path(_DATA.value)
    with (
        np.load(folder / "cifar10_human.npz", allow_pickle=False) as arrays,
        np.load(folder / "cifar10_human_truth.npz", allow_pickle=False) as truth,
    ):
        size = _EXAMPLES.value
        data = ej.Dataset.from_arrays(
            train=(arrays["train_images"][:size], arrays["train_labels"][:size]),
            test=(arrays["test_images"][:_TEST_IMAGES], arrays["test_labels"][:_TEST_IMAGES]),
            name="cifar10_human",
            class_names=arrays["class_names"].tolist(),
        )
        wrong = data.train.labels != truth["true_label"][:size]
    with contextlib.ExitStack() as stack:
        workdir = Path(
            _WORKDIR.value or stack.enter_context(tempfile.TemporaryDirectory(prefix="labels"))
        )
        whole = _train(data, workdir / "whole", _REPETITIONS.value, folds=0)
        parts = _train(data, workdir / "folds", _REPETITIONS.value * _FOLDS, folds=_FOLDS)
        results = [
            {
                name: detection(-trusted, wrong)._asdict()
                for name, trusted in scores_of(parts, whole, repetition).items()
            }
            for repetition in range(_REPETITIONS.value)
        ]
        seconds = {"cross-validation": _seconds(parts), "one run": _seconds(whole)}
    content = {
        "kind": "ensemble_jax wrong labels",
        "environment": environment,
        "examples": len(wrong),
        "wrong": int(wrong.sum()),
        "epochs": _EPOCHS.value,
        "seconds": seconds,
        "repetitions": results,
    }
    write_results(_OUTPUT.value, content)
    return 0 if all(least > 0 for least in _least_leads(content).values()) else 1


def _train(data: ej.Dataset, workdir: Path, num_members: int, folds: int) -> ej.Run:
    return ej.train(
        SmallCNN(),
        data,
        members=ej.members(num_members, seed=0, folds=folds, learning_rate=0.1),
        optimizer=optimizer,
        batch_size=_BATCH_SIZE,
        extents=tuple(range(2, _EPOCHS.value + 1, 2)),
        augment=("crop:3", "flip"),
        record=("label_probability:train", "margin:train", "probabilities:train"),
        plan="default",
        workdir=workdir,
    )


def _seconds(run: ej.Run) -> float:
    """Of training one repetition, by the speed that the run recorded."""
    speeds = run.train_images_per_second
    images = run.train_mask.sum() * np.diff(run.extents, prepend=0)
    return float((images / speeds).sum() / _REPETITIONS.value)


def scores_of(parts: ej.Run, whole: ej.Run, repetition: int) -> dict[str, np.ndarray]:
    """How likely every label is right by each way, `[M]`, from one repetition alone."""
    # An optional package that type checkers need not know.
    get_label_quality_scores = importlib.import_module("cleanlab.rank").get_label_quality_scores

    labels, mine = parts.labels["train"], slice(repetition * _FOLDS, (repetition + 1) * _FOLDS)
    mask = parts.train_mask[mine]
    probabilities = parts.recorded("probabilities", "train")[:, mine]
    found = find_label_issues(list(probabilities), labels, mask, parts.extents)
    # The last of the extents that the audit chose is where the held-out labels are known best.
    held_out = member_mean(probabilities[found.extents[-1]], ~mask).mean.astype(float)
    held_out /= held_out.sum(axis=1, keepdims=True)
    return {
        _AUDIT: found.score,
        "cleanlab self-confidence": get_label_quality_scores(
            labels, held_out, method="self_confidence"
        ),
        "cleanlab normalized margin": get_label_quality_scores(
            labels, held_out, method="normalized_margin"
        ),
        "area under the margin": area_under_margin(whole.recorded("margin", "train"))[repetition],
        "cartography confidence": confidence(whole.recorded("label_probability", "train"))[
            repetition
        ],
    }


def _least_leads(content: Mapping[str, Any]) -> dict[str, float]:
    """By how much the audit leads every other way at least, by each measure that decides."""
    others = [name for name in content["repetitions"][0] if name != _AUDIT]
    return {
        measure: min(
            of_one[_AUDIT][measure] - of_one[name][measure]
            for of_one in content["repetitions"]
            for name in others
        )
        for measure in ("auroc", "average_precision")
    }


def write_results(folder: str, content: Mapping[str, Any]) -> None:
    """Write the results, and a page with a row for each way."""
    repetitions = content["repetitions"]
    rows = []
    for name in repetitions[0]:
        one_run = name in ("area under the margin", "cartography confidence")
        of_way = [of_one[name] for of_one in repetitions]
        values = [
            [of["auroc"] for of in of_way],
            [of["average_precision"] for of in of_way],
            [of["precision"][min(of["precision"])] for of in of_way],
            [of["precision_at_true_number"] for of in of_way],
        ]
        seconds = content["seconds"]["one run" if one_run else "cross-validation"]
        written = [Spread.of(value).written("{:.3f}") for value in values]
        rows.append((name, *written, f"{seconds:.0f}"))
    leads = _least_leads(content)
    header = (
        *("way", "AUROC", "average precision", "precision at 100"),
        *("precision at the true number", "training, s"),
    )
    write_page(
        folder,
        content,
        "Finding wrong labels",
        f"{content['wrong']} of {content['examples']} labels are wrong; {len(repetitions)} "
        f"repetitions, to epoch {content['epochs']}.",
        [
            *markdown(header, rows),
            "",
            f"The audit leads every other way in every repetition by at least {leads['auroc']:.3f} "
            f"(AUROC) and {leads['average_precision']:.3f} (average precision).",
        ],
    )


if __name__ == "__main__":
    app.run(main)
