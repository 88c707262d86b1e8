"""Data sets by name, all ending in one type."""

from ensemble_jax.data.channels import channel_statistics
from ensemble_jax.data.classes import select_classes
from ensemble_jax.data.dataset import Dataset, Split
from ensemble_jax.data.image_files import load_images
from ensemble_jax.data.sources import check_dataset_name, check_word_vectors, load_dataset

__all__ = [
    "Dataset",
    "Split",
    "channel_statistics",
    "check_dataset_name",
    "check_word_vectors",
    "load_dataset",
    "load_images",
    "select_classes",
]
