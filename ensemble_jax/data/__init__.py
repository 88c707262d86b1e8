"""Data sets by name, all ending in one type."""

from ensemble_jax.data.channels import channel_statistics
from ensemble_jax.data.classes import select_classes
from ensemble_jax.data.dataset import Dataset, Probe, Split
from ensemble_jax.data.image_files import load_images
from ensemble_jax.data.meaning import check_meaning
from ensemble_jax.data.probes import add_probes, parse_probes
from ensemble_jax.data.sources import check_dataset_name, check_word_vectors, load_dataset
from ensemble_jax.data.stored import StoredInputs, as_array, read_inputs
from ensemble_jax.data.views import keep_train_fraction, with_label_noise, with_random_labels

__all__ = [
    "Dataset",
    "Probe",
    "Split",
    "StoredInputs",
    "add_probes",
    "as_array",
    "channel_statistics",
    "check_dataset_name",
    "check_meaning",
    "check_word_vectors",
    "keep_train_fraction",
    "load_dataset",
    "load_images",
    "parse_probes",
    "read_inputs",
    "select_classes",
    "with_label_noise",
    "with_random_labels",
]
