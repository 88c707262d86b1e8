"""What the documentation names exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAULTS = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
NAMED_TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", FAULTS)))


@pytest.mark.parametrize(("path", "name"), NAMED_TESTS)
def test_a_test_that_the_page_of_faults_names_exists(path, name):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_fault_has_a_test():
    rows = [line for line in FAULTS.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 15
    for row in rows:
        assert len(row.strip("| ").split(" | ")) == 4, row
        assert "`tests/" in row.split(" | ")[-1], row
