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
from ensemble_jax.private import is_private, private_folder, write_private


class PlanCache:
    """A folder with one file for each choice.

    Args:
        folder: of all choices; it is created.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: Mapping[str, Any]) -> PlanChoice | None:
        """The choice that was made for this key, if it was kept, by this user, and is as it was.

        Args:
            key: plain values of all that speed and memory depend on.
        """
        path = self._path(key)
        try:
            stored = json.loads(path.read_text()) if is_private(path) else {}
            if stored["digest"] != _digest([key, stored["plan"], stored["reason"]]):
                return None
            return PlanChoice(
                Plan.from_plain(stored["plan"]), f"measured before: {stored['reason']}"
            )
        except (OSError, ValueError, KeyError, TypeError):  # absent, or of another version
            return None

    def write(self, key: Mapping[str, Any], choice: PlanChoice) -> None:
        """Keep a choice; where that fails, it is a warning."""
        stored = {"key": key, "plan": choice.plan.as_plain(), "reason": choice.reason}
        stored["digest"] = _digest(list(stored.values()))
        try:
            private_folder(self._folder)
            write_private(self._path(key), json.dumps(stored, indent=1).encode())
        except OSError as error:
            warnings.warn(f"the plan is not kept for the next time: {error}", stacklevel=2)

    def _path(self, key: Mapping[str, Any]) -> Path:
        return self._folder / f"{_digest(key)[:16]}.json"


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
