"""Probes by name: sets that are only evaluated, made to fit the data set that members learn."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from ensemble_jax.data.channels import channel_statistics
from ensemble_jax.data.dataset import Dataset, Probe, check_probe_name
from ensemble_jax.data.draws import seed_of, uniforms
from ensemble_jax.data.folders import Folders, expanded, resolve_folders
from ensemble_jax.data.sources import check_dataset_name, load_dataset
from ensemble_jax.data.stored import Inputs, as_array

# Where the user gives no number; the mean of so many scores is known to 0.02 at worst.
_NOISE_EXAMPLES = 1000
_MOST_NOISE_EXAMPLES = 1_000_000
# Part of the definition of the noise: another number is other noise.
_NOISE_SEED = 2019
_OWN_NAME = re.compile(r"([\w.-]+)=(.+)", re.DOTALL)


class ProbeRequest(NamedTuple):
    """What a user asked for.

    Attributes:
        text: as it was given.
        name: of the probe, in records and figures.
        kind: what comes before the colon.
        argument: what comes after the colon; empty where there is none.
    """

    text: str
    name: str
    kind: str
    argument: str


def add_probes(
    dataset: Dataset,
    requests: Sequence[str],
    *,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> Dataset:
    """The data set with the probes asked for.

    | request | content | name |
    |---|---|---|
    | `noise` or `noise:M` | M (1,000) examples of Gaussian noise, see below | `noise` |
    | `uniform_noise` or `uniform_noise:M` | M examples, each value uniform over 0..255, or over the range of the train inputs where these are floats | `uniform_noise` |
    | `images:PATH` | all images in a folder, cropped and resized, see `image_files.load_images` | the folder's |
    | `test_of:DATASET` | the test images of another data set of the same height and width; grey becomes colour by repetition | the data set's |

    Each may be given another name: `NAME=REQUEST`. In names of folders and data sets, runs of
    characters other than letters, digits, `_`, `-` and `.` become `_`.

    Gaussian noise has independent values from N(mean, std^2) of their channel in the train
    inputs (`channel_statistics`), rounded and clipped to 0..255, or clipped to the range of the
    train inputs where these are floats. All noise is from one fixed seed: it is the same in every
    run, and the first examples of a larger M are those of a smaller one.

    Args:
        dataset: what the members learn; its views are to be taken before.
        requests: what is asked for.
        data_dir: as of `load_dataset`.
        cache_dir: as of `load_dataset`.

    Raises:
        ValueError: if a request is none of these, two have one name, or the examples do not fit.
        ModuleNotFoundError: if a set needs a package that is not installed.

    >>> digits = add_probes(load_dataset("digits"), ["noise:3", "flat=uniform_noise:2"])
    >>> {name: probe.inputs.shape for name, probe in digits.probes.items()}
    {'noise': (3, 8, 8, 1), 'flat': (2, 8, 8, 1)}
    """  # noqa: E501
    folders = resolve_folders(data_dir, cache_dir)
    probes = {}
    for request in parse_probes(requests):
        make = _MAKERS[request.kind]
        try:
            probes[request.name] = make(request.argument, dataset, folders)
        except ValueError as error:
            raise ValueError(f"probe {request.name}: {error}") from error
    return replace(dataset, probes={**dataset.probes, **probes})


def parse_probes(requests: Sequence[str]) -> list[ProbeRequest]:
    """What the texts ask for; reads nothing.

    Raises:
        ValueError: if a request is none of those of `add_probes`, or two have one name.

    >>> parse_probes(["images:/data/indoor scenes"])[0].name
    'indoor_scenes'
    """
    parsed = [_parse(text) for text in requests]
    names = [request.name for request in parsed]
    for request in parsed:
        if names.count(request.name) > 1:
            others = " and ".join(other.text for other in parsed if other.name == request.name)
            raise ValueError(
                f"probes must have different names, got {request.name} for {others}; "
                f"NAME={request.text} gives it another"
            )
    return parsed


def _parse(text: str) -> ProbeRequest:
    match = _OWN_NAME.fullmatch(text)
    own_name, rest = match.groups() if match else (None, text)
    kind, colon, argument = rest.partition(":")
    if kind not in _MAKERS or bool(colon) != bool(argument) or (kind in _OF_FILES and not colon):
        raise ValueError(
            f"probes must be of {', '.join(_FORMS)}, with NAME= before it or without, got {text!r}"
        )
    name = own_name or _default_name(kind, argument)
    try:
        check_probe_name(name)
    except ValueError as error:
        raise ValueError(f"probe {text}: {error}; NAME={rest} gives it another") from error
    if kind == "test_of":
        try:
            check_dataset_name(argument)
        except ValueError as error:
            raise ValueError(f"probe {text}: {error}") from error
    elif kind != "images" and argument:
        _number_of_examples(argument)
    return ProbeRequest(text, name, kind, argument)


def _default_name(kind: str, argument: str) -> str:
    """The kind of noise, or the last part of a path or of a data set's name."""
    if kind not in _OF_FILES:
        return kind
    if kind == "images":
        last = expanded(argument).resolve().name
    else:
        path = argument.rpartition(":")[2].partition("?")[0]  # without the options of a folder
        last = PurePath(path).name.removesuffix(".npz")
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", last).strip("._-")


def _number_of_examples(argument: str) -> int:
    if not argument:
        return _NOISE_EXAMPLES
    if not re.fullmatch(r"[0-9]{1,9}", argument) or not (
        1 <= int(argument) <= _MOST_NOISE_EXAMPLES
    ):
        raise ValueError(
            f"probes of noise must have 1..{_MOST_NOISE_EXAMPLES} examples, got {argument!r}"
        )
    return int(argument)


def _make_noise(argument: str, dataset: Dataset, folders: Folders) -> Probe:
    from scipy.special import ndtri  # loads slowly

    mean, std = channel_statistics(dataset.train.inputs)

    def normal(numbers: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        return mean + std * ndtri(numbers)

    return _noise_of("noise", argument, dataset, normal)


def _make_uniform_noise(argument: str, dataset: Dataset, folders: Folders) -> Probe:
    low, high = _range(dataset)
    if dataset.train.inputs.dtype == np.uint8:
        # Each of the 256 values is what half a unit around it is rounded to.
        low, high = low - 0.5, high + 0.5
    return _noise_of(
        "uniform noise", argument, dataset, lambda numbers: low + (high - low) * numbers
    )


def _noise_of(
    purpose: str,
    argument: str,
    dataset: Dataset,
    quantile: Callable[[Float64[np.ndarray, "*shape"]], Float64[np.ndarray, "*shape"]],
) -> Probe:
    """Independent values of a distribution, given as its quantile function."""
    _check_numbers(dataset)
    low, high = _range(dataset)
    shape, dtype = dataset.input_shape, dataset.train.inputs.dtype
    inputs = np.empty((_number_of_examples(argument), *shape), dtype)
    for number, example in enumerate(inputs):
        own = uniforms([number, *seed_of(purpose, _NOISE_SEED)], example.size)
        values = np.clip(quantile(own.reshape(shape)), low, high)
        example[...] = np.rint(values) if dtype == np.uint8 else values
    return Probe(inputs, np.arange(len(inputs)))


def _load_images(argument: str, dataset: Dataset, folders: Folders) -> Probe:
    shape = dataset.input_shape
    if len(shape) != 3 or shape[-1] not in (1, 3) or dataset.train.inputs.dtype != np.uint8:
        raise ValueError(
            f"{dataset.name} must have grey or RGB images of uint8 (0..255) for images to be like "
            f"them, it has {_form(dataset.train.inputs)}"
        )
    from ensemble_jax.data.image_files import load_images

    height, width, channels = shape
    return Probe(*load_images(expanded(argument), (height, width), channels, folders))


def _load_test_images(argument: str, dataset: Dataset, folders: Folders) -> Probe:
    _check_numbers(dataset)
    test = load_dataset(argument, data_dir=folders.data, cache_dir=folders.cache).test
    inputs = as_array(test.inputs)
    wanted = dataset.train.inputs
    if inputs.shape[1:] == (*wanted.shape[1:3], 1):
        inputs = np.broadcast_to(inputs, (len(inputs), *wanted.shape[1:]))
    if (inputs.shape[1:], inputs.dtype) != (wanted.shape[1:], wanted.dtype):
        raise ValueError(
            f"its examples must be as those of {dataset.name}, {_form(wanted)}, got {_form(inputs)}"
        )
    return Probe(inputs, test.ids)


def _range(dataset: Dataset) -> tuple[float, float]:
    """What values an input can have."""
    inputs = dataset.train.inputs
    if inputs.dtype == np.uint8:
        return 0, 255
    values = as_array(inputs)
    return values.min().item(), values.max().item()


def _check_numbers(dataset: Dataset) -> None:
    """An error for codes of words, which only mean something in the set they come from."""
    inputs = dataset.train.inputs
    if inputs.dtype != np.uint8 and inputs.dtype.kind != "f":
        raise ValueError(
            f"{dataset.name} must have inputs of uint8 or floats, it has {_form(inputs)}"
        )


def _form(inputs: Inputs) -> str:
    return f"{inputs.dtype} {'x'.join(map(str, inputs.shape[1:]))}"


_MAKERS: Mapping[str, Callable[[str, Dataset, Folders], Probe]] = {
    "noise": _make_noise,
    "uniform_noise": _make_uniform_noise,
    "images": _load_images,
    "test_of": _load_test_images,
}
_FORMS = ("noise[:M]", "uniform_noise[:M]", "images:PATH", "test_of:DATASET")
_OF_FILES = ("images", "test_of")
