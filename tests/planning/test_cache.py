from __future__ import annotations

import pytest

from ensemble_jax.options import ConvolutionAlgorithm
from ensemble_jax.plan import Plan
from ensemble_jax.planning import PlanCache, PlanChoice

KEY = {"model": "st_vgg", "num_members": 3}
CHOICE = PlanChoice(Plan(2, 1, ConvolutionAlgorithm.WINOGRAD, 5), "the fastest of 2")


def test_a_choice_is_kept_for_its_key(tmp_path):
    PlanCache(tmp_path / "new").write(KEY, CHOICE)
    cache = PlanCache(tmp_path / "new")
    assert cache.read(dict(reversed(KEY.items()))) == PlanChoice(
        CHOICE.plan, "measured before: the fastest of 2"
    )
    assert cache.read(KEY | {"num_members": 4}) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"plan": {"a": 1}, "reason": ""}'])
def test_a_damaged_choice_is_none(tmp_path, content):
    cache = PlanCache(tmp_path)
    cache.write(KEY, CHOICE)
    (path,) = tmp_path.iterdir()
    path.write_text(content)
    assert cache.read(KEY) is None
    cache.write(KEY, CHOICE)
    assert cache.read(KEY) is not None


def test_a_choice_that_was_changed_or_is_not_this_users_is_none(tmp_path):
    cache = PlanCache(tmp_path)
    cache.write(KEY, CHOICE)
    (path,) = tmp_path.iterdir()
    assert (tmp_path.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    kept = path.read_text()
    path.write_text(kept.replace("fastest", "slowest"))
    assert cache.read(KEY) is None
    path.write_text(kept)
    assert cache.read(KEY) is not None
    path.chmod(0o666)
    assert cache.read(KEY) is None


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("")
    cache = PlanCache(tmp_path / "file")
    with pytest.warns(UserWarning, match="the plan is not kept for the next time"):
        cache.write(KEY, CHOICE)
    assert cache.read(KEY) is None
