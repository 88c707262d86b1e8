"""Where data sets are read from and where decoded ones are kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ensemble_jax.machine import user_cache


@dataclass(frozen=True)
class Folders:
    """What a loader may use beside the data set's name; none of it needs to exist.

    Attributes:
        data: what tensorflow-datasets has prepared, one subfolder per set, and published files.
        cache: decoded arrays, which may be deleted at any time.
        word_vectors: a file of GloVe's, for texts.
    """

    data: Path
    cache: Path
    word_vectors: Path | None = None


def resolve_folders(
    data_dir: str | Path | None,
    cache_dir: str | Path | None,
    word_vectors: str | Path | None = None,
) -> Folders:
    """The folders that the user named, else those of the environment, else the usual ones.

    Data: `data_dir`, `$TFDS_DATA_DIR`, `~/tensorflow_datasets`, which is what tensorflow-datasets
    itself does. Cache: `cache_dir`, `$ENSEMBLE_JAX_CACHE`, `$XDG_CACHE_HOME/ensemble_jax`,
    `~/.cache/ensemble_jax`. Word vectors are only where the user says. A leading `~` is expanded
    everywhere.

    >>> resolve_folders("/data", "/scratch/cache").cache.as_posix()
    '/scratch/cache'
    """
    return Folders(
        data=expanded(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"),
        cache=expanded(cache_dir or os.environ.get("ENSEMBLE_JAX_CACHE") or user_cache()),
        word_vectors=expanded(word_vectors) if word_vectors else None,
    )


def expanded(path: str | os.PathLike) -> Path:
    """A path whose leading `~` is the user's home, or stays where the user has none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # a user without a home, as there are in containers
        return Path(path)
