"""Learning rates of small st-VGG on scikit-learn's digits: the robustness sweep that needs no data.

Shows how bimodality and accuracy depend on the learning rate (the paper, Appendix D: robustness).
Run: ensemble-jax sweep
Takes about three minutes on two CPU cores.
"""

from ensemble_jax.cli.sweep_config import SweepConfig


def get_config() -> SweepConfig:
    """Five members for each learning rate, all in one compiled step."""
    return SweepConfig(
        num_members=5,
        extents=(0, 1, 2, 5, 10),
        vary={"learning_rate": [0.005, 0.01, 0.02, 0.05, 0.1, 0.2]},
    )
