"""What the documentation names exists, and its numbers are those that are stored."""

import ast
import dataclasses
import functools
import inspect
import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import ensemble_jax as ej
from ensemble_jax.cli.entry import VERBS
from ensemble_jax.cli.train_config import TrainConfig

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


PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def blocks(page, language):
    """The fenced blocks of a language on a page, in their order."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_on_a_page_is_valid_and_names_what_is_public(page):
    public = set(ej.__all__)
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "ej":
                assert node.attr in public, block


def commands(page):
    """The command lines of a page, each in one line."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.partition("  #")[0]


OURS = re.compile(r"(?:ensemble-jax|(?:python|bin/python) -m experiments\.?) ?(\w+)?(.*)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_on_a_page_have_verbs_and_options_that_there_are(page):
    for line in commands(page):
        if not (found := OURS.search(line)) or not found[1]:
            continue
        verb, rest = found.groups()
        assert verb in VERBS, line
        for option in re.findall(r"--([\w.]+)", rest):
            assert option in options_of(verb) or option == "help", (line, option)


@functools.cache
def options_of(verb):
    """The options of a verb, those of its config among them."""
    cli = ROOT / "ensemble_jax/cli"
    others = {f"{other}.py" for other in VERBS if other != verb}
    known = {f"config.{field.name}" for field in dataclasses.fields(TrainConfig)}
    for source in (path for path in cli.glob("*.py") if path.name not in others):
        text = source.read_text(encoding="utf-8")
        known |= set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', text))
    return known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_on_a_page_find_what_they_need(page):
    """Each names the environment's Python, or comes after a line that activates it."""
    activated = page.name in (
        "many_hosts.md",
        "faults.md",
        "safety.md",
    )  # on machines set up before
    for line in commands(page):
        activated |= ".venv/bin/activate" in line
        if re.match(r"(ensemble-jax|python|pip|mkdocs) ", line.strip()):
            assert activated, line


def test_the_table_against_peers_is_of_stored_results():
    measured = []
    for name in ("st_vgg_cpu", "digits_cpu"):
        table = (ROOT / "benchmarks/results" / name / "table.md").read_text(encoding="utf-8")
        for section in table.split("\n## ")[1:]:
            if "| contender |" in section:
                cells = [line.strip("|").split(" | ") for line in section.splitlines()]
                measured.append({c[0].strip(): c[1:3] for c in cells if len(c) > 8})
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.partition("<!-- speed -->")[2].partition("<!-- /speed -->")[0]
    rows = [[c.strip() for c in r.strip("|").split("|")] for r in shown.strip().splitlines()[2:]]
    assert len(rows) >= 8
    assert {name for name, *_ in rows} == {name for of in measured[:3] for name in of} - {
        "contender",
        "ensemble_jax with N = 1",
    }
    for name, *cells in rows:
        for cell, of in zip(cells, measured[:3], strict=True):
            speed, factor = of.get(name, ["", ""])
            digits = [float(x.replace(",", "")) for x in re.findall(r"[\d,.]+", cell)]
            told = [float(x.split(" ")[0]) for x in (speed, factor) if re.match(r"\d", x)]
            assert len(digits) == len(told), (name, cell)
            np.testing.assert_allclose(digits, told, rtol=2e-3)


def test_the_picture_that_moves_is_small_and_has_every_epoch():
    path = ROOT / "docs/images/learning.gif"
    assert path.stat().st_size < 500_000
    with PIL.Image.open(path) as picture, np.load(path.with_name("small_mammals.npz")) as bits:
        assert picture.n_frames == len(bits["extents"]) >= 10


def test_everything_public_has_a_docstring():
    for module in (ej, *(getattr(ej, name) for name in ej.__all__)):
        if inspect.ismodule(module):
            for name in getattr(module, "__all__", ()):
                value = getattr(module, name)
                if inspect.isroutine(value) or inspect.isclass(value):
                    assert inspect.getdoc(value), (module.__name__, name)
