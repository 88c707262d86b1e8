"""Gabor patches: pictures whose classes overlap because of how they are drawn."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from ensemble_jax.data.dataset import Dataset, Split
from ensemble_jax.data.draws import uniforms
from ensemble_jax.data.folders import Folders

GABOR = "gabor"
"""The set of 12 classes."""

GABOR_24 = "gabor24"
"""The set of all 24 classes."""

_ORIENTATIONS = (45, 90, 135, 180)
_CHANNELS = ("red", "green", "blue")
_PARITIES = ("sine", "cosine")
_SIDE = 32
_PER_CLASS = 100
_TEST_PER_CLASS = 20
_ORIENTATION_RANGE = 30.0
_SIZE_RANGE = (3.0, 6.0)
_WAVELENGTH = 2.0  # in sizes
_MEAN, _AMPLITUDE = 128, 127
# Part of the data set's definition: another number is another set.
_SEED = 1946


class _PatchClass(NamedTuple):
    """What the patches of a class have in common, as positions in the tuples above."""

    orientation: int
    channel: int
    parity: int

    @property
    def name(self) -> str:
        return (
            f"{_ORIENTATIONS[self.orientation]} {_CHANNELS[self.channel]} {_PARITIES[self.parity]}"
        )

    @property
    def in_gabor(self) -> bool:
        """Whether the class is one of the 12."""
        return (self.orientation // 2 + self.channel) % 2 == self.parity


_CLASSES = tuple(
    _PatchClass(*choice)
    for choice in itertools.product(*map(range, map(len, (_ORIENTATIONS, _CHANNELS, _PARITIES))))
)


def load_gabor(name: str, folders: Folders) -> Dataset:
    """100 Gabor patches of each class, 32x32x3 uint8, 80 to train and 20 to test on.

    A patch lies in one channel, around the middle; with x to the right and y upwards, in pixels,

        u = x cos(a) + y sin(a),    v = y cos(a) - x sin(a)
        g = exp(-(u^2 + v^2) / (2 s^2)) * wave(2 pi u / (2 s))
        value = round(128 + 127 g) in its channel, 128 in the others and where g is 0

    so that a is the angle, anticlockwise, of the direction across the stripes. Classes differ in

    - the base orientation: 45, 90, 135 or 180 degrees
    - the channel: red, green or blue
    - the parity of the wave: sine (odd) or cosine (even)

    and within a class a is uniform within 30 degrees of the base, s uniform in 3..6 pixels.

    `gabor24` has all 24 classes, in this order with the parity fastest. `gabor` has 12 of them, the
    same pictures, with one parity for each orientation and channel:

    | | 45 | 90 | 135 | 180 |
    |---|---|---|---|---|
    | red | sine | sine | cosine | cosine |
    | green | cosine | cosine | sine | sine |
    | blue | sine | sine | cosine | cosine |

    Bases 45 degrees apart that vary by 30 overlap by 15. As the parity alternates by pairs of
    orientations, a quarter of the pictures of each class could be from the other of its pair (45
    and 90, or 135 and 180, of one channel and parity), while other classes can be told apart: the
    paper has non-separable and separable classes as well. Nobody's accuracy on new pictures of
    `gabor` can be expected above 7/8, the share of a quarter that is guessed being lost.

    The patches of a class are independent draws, fixed for ever; the last 20 are the test split.
    The classes take turns; an id is 100 times the position among all 24 classes plus the number of
    the patch in its class. No folder is used.

    Source: Hacohen and Weinshall, All Neural Networks Are Created Equal, Appendix C. It gives
    neither which 12 of the 24 classes, nor sizes, nor the split: those are this project's choice.
    """
    chosen = [number for number, of in enumerate(_CLASSES) if name == GABOR_24 or of.in_gabor]
    draws = uniforms(_SEED, len(_CLASSES) * _PER_CLASS * 2).reshape(len(_CLASSES), _PER_CLASS, 2)

    def split(patches: range) -> Split:
        pictures = [
            _draw(_CLASSES[number], *draws[number, patch]) for patch in patches for number in chosen
        ]
        ids = [_PER_CLASS * number + patch for patch in patches for number in chosen]
        labels = np.tile(np.arange(len(chosen), dtype=np.int32), len(patches))
        return Split(np.stack(pictures), labels, np.array(ids))

    first_test = _PER_CLASS - _TEST_PER_CLASS
    return Dataset(
        name,
        train=split(range(first_test)),
        test=split(range(first_test, _PER_CLASS)),
        class_names=tuple(_CLASSES[number].name for number in chosen),
    )


def _draw(of: _PatchClass, of_orientation: float, of_size: float) -> UInt8[np.ndarray, "32 32 3"]:
    """The patch of a class at two places in 0..1 of its ranges of orientation and size."""
    least, most = _SIZE_RANGE
    size = least + (most - least) * of_size
    angle = np.deg2rad(
        _ORIENTATIONS[of.orientation] + _ORIENTATION_RANGE * (2 * of_orientation - 1)
    )
    x = np.arange(_SIDE) - (_SIDE - 1) / 2
    y = -x[:, None]
    u = x * np.cos(angle) + y * np.sin(angle)
    wave = (np.sin, np.cos)[of.parity]
    # u^2 + v^2 = x^2 + y^2
    patch = np.exp(-(x**2 + y**2) / (2 * size**2)) * wave(2 * np.pi * u / (_WAVELENGTH * size))
    picture = np.full((_SIDE, _SIDE, len(_CHANNELS)), _MEAN, np.uint8)
    picture[..., of.channel] = np.round(_MEAN + _AMPLITUDE * patch)
    return picture
