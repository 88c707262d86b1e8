"""The documentation as a site: complete, linked, and without anything from elsewhere."""

import inspect
import logging
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import ensemble_jax as ej

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings_handlers.python")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    answer = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert "WARNING" not in answer.stderr
    return folder


def public_names():
    """The names of everything public, as one writes them after `ensemble_jax.`."""
    for name in ej.__all__:
        value = getattr(ej, name)
        if not inspect.ismodule(value):
            yield name
            continue
        own = (n for n, v in vars(value).items() if getattr(v, "__module__", "") == value.__name__)
        for inner in getattr(value, "__all__", own):
            if not inner.startswith("_"):
                yield f"{name}.{inner}"


@pytest.mark.slow
def test_the_reference_has_everything_public(site):
    content = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    named = {line.split(" ")[0] for line in zlib.decompress(content).decode().splitlines()}
    names = {f"ensemble_jax.{name}" for name in public_names()} - {"ensemble_jax.__version__"}
    assert len(names) > 150
    assert names <= named


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?([^\s\">]+)", text)
        loaded += re.findall(r"<link[^>]*\shref=\"?([^\s\">]+)", text)
        assert loaded
        for address in loaded:
            assert not re.match(r"(https?:)?//", address), (page, address)
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


@pytest.mark.slow
def test_doctests_are_shown_as_code(site):
    text = (site / "api/analysis.html").read_text(encoding="utf-8")
    assert "<blockquote>" not in text
    assert '<span class="gp">&gt;&gt;&gt; </span>' in text


@pytest.mark.slow
def test_the_pictures_are_drawn_from_what_is_stored(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import pictures

    pictures.draw_all(tmp_path)
    stored = {path.name for path in pictures.IMAGES.iterdir()} - {"digits.npz", "small_mammals.npz"}
    assert {path.name for path in tmp_path.iterdir()} == stored
