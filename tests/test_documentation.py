"""What the documentation names exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAULTS, SAFETY = (
    (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("faults.md", "safety.md")
)
NAMED_TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", FAULTS + SAFETY)))


@pytest.mark.parametrize(("path", "name"), NAMED_TESTS)
def test_a_test_that_a_page_names_exists(path, name):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("page", "least", "cells"), [(FAULTS, 15, 4), (SAFETY, 12, 3)])
def test_every_row_has_a_test(page, least, cells):
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= least
    for row in rows:
        assert len(row.strip("| ").split(" | ")) == cells, row
        assert "`tests/" in row.split(" | ")[-1], row
