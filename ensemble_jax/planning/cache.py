"""Plans that were chosen before, kept between processes."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensemble_jax.plan import Plan
from ensemble_jax.planning.choice import PlanChoice
from ensemble_jax.runs.files import replace_file


class PlanCache:
    """A folder with one file for each choice.

    Args:
        folder: of all choices; it is created.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: Mapping[str, Any]) -> PlanChoice | None:
        """The choice that was made for this key, if it was kept.

        Args:
            key: plain values of all that speed and memory depend on.
        """
        path = self._path(key)
        try:
            stored = json.loads(path.read_text())
            return PlanChoice(
                Plan.from_plain(stored["plan"]), f"measured before: {stored['reason']}"
            )
        except (OSError, ValueError, KeyError, TypeError):  # absent, or of another version
            return None

    def write(self, key: Mapping[str, Any], choice: PlanChoice) -> None:
        """Keep a choice; where that fails, it is a warning."""
        stored = {"key": key, "plan": choice.plan.as_plain(), "reason": choice.reason}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_file(self._path(key), json.dumps(stored, indent=1).encode())
        except OSError as error:
            warnings.warn(f"the plan is not kept for the next time: {error}", stacklevel=2)

    def _path(self, key: Mapping[str, Any]) -> Path:
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        return self._folder / f"{digest}.json"
