"""The run directory: what is written, atomically, and how it is read back."""

from ensemble_jax.runs.configs import config_differences
from ensemble_jax.runs.examples import TrainingSets
from ensemble_jax.runs.layout import part_path
from ensemble_jax.runs.manifest import DataSummary, Manifest, command_line, library_versions
from ensemble_jax.runs.merging import merge_runs
from ensemble_jax.runs.packing import pack_correct, unpack_correct
from ensemble_jax.runs.reader import Run, load_run
from ensemble_jax.runs.records import describe_records, extent_bytes
from ensemble_jax.runs.writer import RunWriter, claim_folder, is_being_written, lock_run

__all__ = [
    "DataSummary",
    "Manifest",
    "Run",
    "RunWriter",
    "TrainingSets",
    "claim_folder",
    "command_line",
    "config_differences",
    "describe_records",
    "extent_bytes",
    "is_being_written",
    "library_versions",
    "load_run",
    "lock_run",
    "merge_runs",
    "pack_correct",
    "part_path",
    "unpack_correct",
]
