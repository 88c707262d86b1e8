r"""Recording every epoch costs little more than the forward passes it cannot do without.

Run: python -m benchmarks.recording
Takes about 5 minutes on two cores that do nothing else (an estimate).

What is measured: st-VGG on random images of the shape of small_mammals (2,500 to train on, 500 to
test on), trained by the host loop of the main job with an extent at every epoch: all members are
evaluated on both sets, records and a checkpoint are written to a folder that is removed afterwards.

What the numbers mean: 'evaluation' is the time to evaluate all members on all images, over the time
of the bare forward passes, which is a third of the time to train on as many images (a training step
is a forward pass and two backward passes of as many products each). In a second part evaluations
that record more and more of every example are timed one after another in every round, with a
program that adds up the outputs of the same forward passes and does nothing else: 'recording' is
the time of each, its copy to the host included, over that of this program.

'Writing' is the time of the whole loop beyond its epochs and evaluations, over that of its epochs:
copies to the host, and what of writing does not happen while the next epoch is trained; the last
extent has none, so its writing counts whole. Medians (least-largest) of the rounds.

Results: `recording.json` with every measurement and `recording.md` in `--output`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import jax
import numpy as np
from absl import app, flags

from benchmarks.environment import define_output, describe_environment, write_page
from benchmarks.jax_networks import Planned, forced_plan, make_members, workload_kit
from benchmarks.summary import Spread, markdown
from benchmarks.workloads import Workload, load_training_set
from ensemble_jax.collection import use_all_cores
from ensemble_jax.data import Dataset
from ensemble_jax.evaluation import CollectionEvaluation, make_evaluator
from ensemble_jax.evaluation.evaluator import in_batches
from ensemble_jax.extent import Evaluations
from ensemble_jax.options import Model, Quantity
from ensemble_jax.plan import Plan
from ensemble_jax.runs import DataSummary, Manifest, RunWriter
from ensemble_jax.training import Checkpoints, Saving, place_examples, train_loop

_MODEL = flags.DEFINE_enum_class("model", Model.ST_VGG, Model, "What to train.")
_MEMBERS = flags.DEFINE_integer("members", 8, "N.", lower_bound=1)
_TRAIN_IMAGES = flags.DEFINE_integer("train_images", 2500, "At least a batch.", lower_bound=1)
_TEST_IMAGES = flags.DEFINE_integer("test_images", 500, "To evaluate as well.", lower_bound=1)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 100, "Images of a step.", lower_bound=1)
_EVALUATION_BATCH_SIZE = flags.DEFINE_integer(
    "evaluation_batch_size", 500, "As of the main job.", lower_bound=1
)
_PLAN = flags.DEFINE_string(
    "plan", "default,microbatches=10", "As --config.plan of the main job; never measured here."
)
_EPOCHS = flags.DEFINE_integer("epochs", 2, "Of each round, every one an extent.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Measurements.", lower_bound=1)
_OUTPUT = define_output("recording")

MOST_EVALUATION = 1.3
MOST_RECORDING = 1.1
_BARE, _NOTHING = "forward passes", "predictions"
_RECORDED = {
    _NOTHING: (),
    "label_probability": (Quantity.LABEL_PROBABILITY,),
    "one number of each": tuple(quantity for quantity in Quantity if not quantity.of_classes),
    "everything": tuple(Quantity),
}
MOST_WRITING = 0.05
_FORWARD_SHARE = 1 / 3  # of a training step


class Seconds(NamedTuple):
    """Wall time of one round's epochs and evaluations, and of all of it."""

    epochs: float
    evaluations: float
    whole: float


def main(_: Sequence[str]) -> None:
    """Measure the rounds, then write."""
    use_all_cores()
    environment = describe_environment()
    plan = forced_plan(_PLAN.value, _MEMBERS.value, jax.local_devices())
    recording = _Recording(plan)
    rounds = [recording.measure() for _ in range(_ROUNDS.value)]
    seconds = recording.measure_quantities()
    quantities = {
        name: Spread.of(of_all / bare for of_all, bare in zip(some, seconds[_BARE], strict=True))
        for name, some in seconds.items()
        if name != _BARE
    }
    images = _TRAIN_IMAGES.value + _TEST_IMAGES.value
    forward_share = _FORWARD_SHARE * images / _TRAIN_IMAGES.value
    evaluation = Spread.of(r.evaluations / (forward_share * r.epochs) for r in rounds)
    writing = Spread.of((r.whole - r.epochs - r.evaluations) / r.epochs for r in rounds)
    content = {
        "kind": "ensemble_jax recording",
        "environment": environment,
        "plan": plan.as_plain(),
        "rounds": [r._asdict() for r in rounds],
        "evaluation": evaluation._asdict(),
        "writing": writing._asdict(),
        "seconds_of_evaluations": seconds,
        "recording": {name: spread._asdict() for name, spread in quantities.items()},
    }
    write_page(
        _OUTPUT.value,
        content,
        "Recording every epoch",
        f"N = {_MEMBERS.value}, {plan}.",
        _table(evaluation, writing, quantities),
        ("recording.json", "recording.md"),
    )


class _Recording:
    """A compiled collection and the loop that trains and records it."""

    def __init__(self, plan: Plan) -> None:
        num_train, num_members = _TRAIN_IMAGES.value, _MEMBERS.value
        workload = Workload(
            "",
            _MODEL.value,
            dataset="",
            num_images=num_train + _TEST_IMAGES.value,
            num_members=num_members,
            batch_size=_BATCH_SIZE.value,
            learning_rate=0.05,
        )
        data = load_training_set(workload)
        self._dataset = Dataset.from_arrays(
            train=(data.images[:num_train], data.labels[:num_train]),
            test=(data.images[num_train:], data.labels[num_train:]),
            name="random images",
            class_names=[str(k) for k in range(data.num_classes)],
        )
        self._plan = plan
        planned = Planned.of(workload_kit(workload, data), plan, num_members, jax.local_devices())
        self._placement = planned.placement
        examples = {
            name: place_examples(self._placement, split.inputs, split.labels)
            for name, split in self._dataset.splits.items()
        }
        members = make_members(num_members, workload.learning_rate)
        self._training = planned.compile(members, examples["train"])
        size = plan.evaluation_batch_size(workload.batch_size, _EVALUATION_BATCH_SIZE.value)
        network = planned.recipe.network

        def forward(variables, inputs, labels):
            def of_batch(inputs):
                return network.apply(variables, inputs, key=None, train=False)[0].sum(-1)

            return in_batches(of_batch, size, inputs)

        def compiled(evaluate):
            variables = self._training.placed_state_shape.variables
            return CollectionEvaluation(evaluate, self._placement, variables, examples)

        self._evaluations = {_BARE: compiled(forward)} | {
            name: compiled(make_evaluator(network, data.num_classes, size, quantities=quantities))
            for name, quantities in _RECORDED.items()
        }
        self._evaluation = self._evaluations[_NOTHING]
        # The first calls pay for what happens once.
        self._state, _ = self._training.epoch(self._training.init(), 0)
        for evaluate in self._evaluations.values():
            jax.block_until_ready(evaluate(self._state.variables))

    def measure_quantities(self) -> dict[str, list[float]]:
        """Seconds of every evaluation in every round, the copy to the host included."""
        seconds = {name: [] for name in self._evaluations}
        for number in range(_ROUNDS.value):
            # Whatever comes first in a round is another one in the next.
            names = list(self._evaluations)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                started = time.perf_counter()
                self._placement.gather(self._evaluations[name](self._state.variables))
                seconds[name].append(time.perf_counter() - started)
        return seconds

    def measure(self) -> Seconds:
        """Train and record some epochs into a folder that is removed."""
        spent = {"epochs": 0.0, "evaluations": 0.0}
        train_pool = _timed(self._training.train_pool, spent, "epochs")
        evaluate = _timed(
            lambda state: Evaluations(self._evaluation(state.variables), {}), spent, "evaluations"
        )
        training = SimpleNamespace(
            num_pools=1,
            train_pool=train_pool,
            images_in=self._training.images_in,
            mean_loss=self._training.mean_loss,
        )
        extents = list(range(1, _EPOCHS.value + 1))
        with tempfile.TemporaryDirectory() as folder:
            writer = RunWriter.create(
                Path(folder) / "run", self._manifest(extents), self._dataset.splits
            )
            checkpoints = Checkpoints(writer.directory / "checkpoints")
            state = jax.block_until_ready(self._training.init())
            started = time.perf_counter()
            train_loop(
                training,  # pyright: ignore[reportArgumentType]  # what the loop needs of it
                state,
                first_epoch=0,
                extents=extents,
                evaluate=evaluate,
                to_host=self._placement.gather,
                write=writer.write_extent,
                observer=_Silent(),
                saving=Saving(checkpoints.save),
            )
            whole = time.perf_counter() - started
            checkpoints.close()
        return Seconds(**spent, whole=whole)

    def _manifest(self, extents):
        dataset = self._dataset
        sizes = {name: len(split) for name, split in dataset.splits.items()}
        return Manifest(
            config={},
            data=DataSummary(dataset.name, dataset.class_names, sizes, dataset.input_shape),
            members=range(_MEMBERS.value),
            extents=extents,
            plan=self._plan.as_plain(),
        )


class _Silent:
    """An observer that nothing is told."""

    def epoch_done(self, epoch: int, losses: np.ndarray) -> None:
        """Says nothing."""

    def extent_written(self, record) -> None:
        """Says nothing."""


def _timed(function, spent, name):
    """The function, whose time until its results are there is added to what was spent before."""

    def call(*arguments, **more):
        started = time.perf_counter()
        results = jax.block_until_ready(function(*arguments, **more))
        spent[name] += time.perf_counter() - started
        return results

    return call


def _table(evaluation, writing, quantities):
    rows = [
        (
            "evaluation over its bare forward passes",
            f"at most {MOST_EVALUATION}",
            evaluation.written("{:.2f}"),
            "PASS" if evaluation.median <= MOST_EVALUATION else "SHORT",
        ),
        (
            "copying and writing over an epoch",
            f"at most {MOST_WRITING:.0%}",
            writing.written("{:.1%}"),
            "PASS" if writing.median <= MOST_WRITING else "SHORT",
        ),
    ]
    rows += [
        (
            f"recording {name} over the forward passes",
            f"at most {MOST_RECORDING}",
            spread.written("{:.2f}"),
            "PASS" if spread.median <= MOST_RECORDING else "SHORT",
        )
        for name, spread in quantities.items()
    ]
    return markdown(("what", "promised", "measured", "verdict"), rows)


if __name__ == "__main__":
    app.run(main)
