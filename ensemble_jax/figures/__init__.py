"""Drawings of analysis results, written as PNG and SVG, and the numbers behind them as CSV."""

from ensemble_jax.figures.classes import ClassHistogramDisplay
from ensemble_jax.figures.correlation import AccessibilityDisplay, AccessibilityPair
from ensemble_jax.figures.cross_consistency import CrossConsistencyDisplay
from ensemble_jax.figures.display import Display, ResultDisplay
from ensemble_jax.figures.dynamics import DynamicsDisplay
from ensemble_jax.figures.easy_sets import EasySetsDisplay
from ensemble_jax.figures.examples import ExampleCurvesDisplay
from ensemble_jax.figures.histograms import ConsensusDisplay, ConsistencyDisplay, HistogramGrid
from ensemble_jax.figures.paradigms import BoostingDisplay, ClassifierDisplay
from ensemble_jax.figures.probes import ProbeDisplay
from ensemble_jax.figures.reliability import ReliabilityDisplay
from ensemble_jax.figures.subsets import SizeDisplay
from ensemble_jax.figures.sweeps import SettingResult, SettingsDisplay

__all__ = [
    "AccessibilityDisplay",
    "AccessibilityPair",
    "BoostingDisplay",
    "ClassHistogramDisplay",
    "ClassifierDisplay",
    "ConsensusDisplay",
    "ConsistencyDisplay",
    "CrossConsistencyDisplay",
    "Display",
    "DynamicsDisplay",
    "EasySetsDisplay",
    "ExampleCurvesDisplay",
    "HistogramGrid",
    "ProbeDisplay",
    "ReliabilityDisplay",
    "ResultDisplay",
    "SettingResult",
    "SettingsDisplay",
    "SizeDisplay",
]
