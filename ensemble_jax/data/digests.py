"""Short fingerprints of everything that training and evaluation read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from ensemble_jax.data.stored import Inputs, StoredInputs, read_inputs

_HEX_DIGITS = 32
_BYTES_PER_CHUNK = 1 << 23
# Of what is stored, so many files or examples are looked into: 16 MiB of files, in well under 1 s.
_MOST_READ = 256
_BYTES_PER_FILE = 1 << 16


def digest_of_array(array: Shaped[np.ndarray, ...]) -> str:
    """The first 32 hex digits of the SHA-256 of an array's type, shape and values.

    Texts are digested as `digest_of_names` does, whatever width the array has for them. 1 GB takes
    about 1.3 s; nothing is copied where the array is contiguous.

    >>> digest_of_array(np.arange(3, dtype=np.uint8))
    '0b86b89f9ad20d0ef106227296cf6f8a'
    """
    if array.dtype.kind == "U":
        return digest_of_names(array.tolist())
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    step = max(1, _BYTES_PER_CHUNK * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), step):
        rows = np.ascontiguousarray(array[start : start + step])
        digest.update(rows.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:_HEX_DIGITS]


def digest_of_names(names: Sequence[str]) -> str:
    """The first 32 hex digits of the SHA-256 of texts.

    >>> digest_of_names(["cat", "dog"])
    'cd73b2771c519ee7c8369113fbe26f18'
    """
    return _digest_of_values(list(names))


def digest_of_inputs(inputs: Inputs) -> str:
    """That of an array, or of inputs that are read when they are needed: see `Dataset.digests`."""
    if not isinstance(inputs, StoredInputs):
        return digest_of_array(inputs)
    form = [list(inputs.example_shape), inputs.dtype.str, digest_of_array(inputs.rows)]
    if inputs.files:
        return f"files:{_digest_of_values([form, _look_into(inputs.files)])}"
    positions = _evenly(len(inputs))
    return f"examples:{_digest_of_values([form, digest_of_array(read_inputs(inputs, positions))])}"


def _look_into(files: Sequence[Path]) -> list[list[object]]:
    """Names and sizes of all files, and the digest of the first bytes of some."""
    looked_into = set(_evenly(len(files)).tolist())
    found: list[list[object]] = []
    for number, path in enumerate(files):
        entry: list[object] = [path.name, path.stat().st_size]
        if number in looked_into:
            with open(path, "rb") as file:
                entry.append(hashlib.sha256(file.read(_BYTES_PER_FILE)).hexdigest())
        found.append(entry)
    return found


def _evenly(count: int) -> np.ndarray:
    """The positions of those that are looked into: the first, the last, and evenly between."""
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_READ)).astype(np.int64))


def _digest_of_values(values: object) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:_HEX_DIGITS]
