"""Drawings of analysis results, written as PNG and SVG."""

from ensemble_jax.figures.display import Display
from ensemble_jax.figures.dynamics import DynamicsDisplay
from ensemble_jax.figures.histograms import ConsensusDisplay, ConsistencyDisplay, HistogramGrid

__all__ = [
    "ConsensusDisplay",
    "ConsistencyDisplay",
    "Display",
    "DynamicsDisplay",
    "HistogramGrid",
]
