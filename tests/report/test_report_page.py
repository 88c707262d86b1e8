"""The report of a run as a browser shows it, with names that would be scripts if they could."""

import base64
import hashlib
import itertools
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ensemble_jax import load_run, report
from ensemble_jax.analysis import accessibility_score

REPORT_FOLDER = Path(report.__file__).parent
N = 4
EXTENTS = (0, 1, 3)
SCRIPT = "<script>alert(1)</script>"
CLASSES = (SCRIPT, "\"'><img src=x onerror=alert(1)>", "$\\frac{1}$ {{ 7 * 7 }} &amp; _")
SECTIONS = [
    "Explorer",
    "Accuracy and bimodality",
    "How far the members agree",
    "The hardest and the easiest examples",
    "Classes",
    "Probes",
    "Configuration",
]


@pytest.fixture(scope="module")
def directory(binaries, toy_arrays, tmp_path_factory) -> Path:
    """A run of whose data set all names are those of an attacker."""
    folder = tmp_path_factory.mktemp("sets")
    path = folder / f"{SCRIPT}.npz"
    path.parent.mkdir(parents=True)
    ids = {
        f"{split}_ids": np.array([f"{SCRIPT}{split}{i}" for i in range(size)])
        for split, size in {"train": 60, "test": 30}.items()
    }
    np.savez(path, **toy_arrays(), **ids, class_names=np.array(CLASSES))
    directory = tmp_path_factory.mktemp("runs") / "run"
    answer = binaries.run(
        "train",
        f"--config.dataset=npz:{path}",
        "--config.model=fully_connected",
        "--config.width=16",
        f"--config.num_members={N}",
        "--config.plan=default,num_devices=1,members_per_call=all",
        "--config.batch_size=25",
        "--config.probes=noise:20",
        f"--config.extents={','.join(map(str, EXTENTS))}",
        f"--workdir={directory}",
    )
    assert answer.returncode == 0, answer.stderr
    return directory


@pytest.fixture
def shown(browser, directory):
    browser.open_explorer(directory / "report.html")
    return browser


class Elements(HTMLParser):
    """The elements of a document, and the text between them."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.script = "", ""
        self._in_script = False
        self.feed(document)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._in_script = (tag, attrs) == ("script", [])

    def handle_endtag(self, tag):
        self._in_script = False

    def handle_data(self, data):
        if self._in_script:
            self.script += data
        else:
            self.text += data


def test_names_are_text_and_nothing_else(directory):
    document = (directory / "report.html").read_text(encoding="utf-8")
    parsed = Elements(document)
    assert {tag for tag, _ in parsed.elements} & {"iframe", "object", "embed"} == set()
    # All but one of the scripts are data, which no browser runs.
    types = [attributes.get("type") for tag, attributes in parsed.elements if tag == "script"]
    data = {"application/json", "application/octet-stream", "image/webp"}
    assert set(types[:-1]) == data
    assert types[-1] is None
    assert parsed.script == (REPORT_FOLDER / "explorer.js").read_text("utf-8")
    policy = next(of["content"] for _, of in parsed.elements if "http-equiv" in of) or ""
    digest = base64.b64encode(hashlib.sha256(parsed.script.encode()).digest()).decode()
    assert f" script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; ")
    for tag, attributes in parsed.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href"):
            # The page refers to itself alone.
            assert (attributes.get(name) or "#").startswith(("#", "data:")), attributes[name]
    for name in CLASSES:
        assert name in parsed.text
    assert f"fully_connected on npz:{directory.parents[1]}"[:20] in parsed.text
    assert len(document.encode()) < 2_000_000


def test_no_script_runs_and_the_names_are_to_be_read(shown, directory):
    assert shown.told("Page.javascriptDialogOpening") == []
    assert shown.evaluate("document.querySelectorAll('script:not([type])').length") == 1
    text = shown.evaluate("document.body.innerText")
    for name in (*CLASSES, f"{SCRIPT}.npz"):
        assert name in text
    ids = load_run(directory).ids["test"]
    assert sum(f"id {name}\n" in text for name in ids) == 20
    assert shown.evaluate("document.title").endswith(f"{SCRIPT}.npz")


def test_the_policy_would_stop_a_script_that_came_through(shown):
    expression = """(() => {
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran = true'>");
        return window.ran === true;
    })()"""
    assert shown.evaluate(expression) is False


def test_nothing_is_loaded_and_nothing_complained_of(shown, directory):
    requested = {event["request"]["url"] for event in shown.told("Network.requestWillBeSent")}
    others = {url for url in requested if not url.startswith(("data:", "blob:"))}
    assert others == {(directory / "report.html").as_uri()}
    for complaint in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
        assert shown.told(complaint) == []


def test_all_sections_are_there_with_headings_in_order(shown):
    headings = shown.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, h4')].map(h => [h.tagName, h.innerText])"
    )
    assert [text for level, text in headings if level == "H2"] == SECTIONS
    levels = [int(level[1]) for level, _ in headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    links = shown.evaluate(
        "[...document.querySelectorAll('nav a')].map("
        "a => document.getElementById(a.hash.slice(1)).querySelector('h2').innerText)"
    )
    assert links == SECTIONS


def test_every_picture_is_one_and_is_described(shown):
    pictures = shown.evaluate(
        "[...document.images].map(i => [i.complete, i.naturalWidth, i.naturalHeight, i.alt])"
    )
    assert all(complete and width and height for complete, width, height, _ in pictures)
    assert all(text for *_, text in pictures)
    # Hardest and easiest of both splits, and seven figures.
    assert len([size for size in pictures if size[1:3] == [8, 8]]) == 40
    assert len(pictures) == 47
    curves = shown.evaluate("[...document.querySelectorAll('main svg')].map(c => c.ariaLabel)")
    assert len(curves) == 40
    assert all(label.startswith("Consistency by epoch: 0: ") for label in curves)


def test_the_hardest_examples_are_the_hardest(shown, directory):
    run = load_run(directory)
    hardest = accessibility_score(run.correct("test")).argsort(kind="stable")[:10]
    shown_ids = shown.evaluate(
        "[...document.querySelector('.gallery').querySelectorAll('.title + p')]"
        ".map(p => p.innerText)"
    )
    assert shown_ids == [f"id {run.ids['test'][example]}" for example in hardest]


def test_tables_have_headers(shown):
    headers = shown.evaluate(
        "[...document.querySelectorAll('th')].map(h => [h.scope, h.closest('thead') !== null])"
    )
    assert headers
    for scope, above in headers:
        assert scope == ("col" if above else "row")
    named = shown.evaluate(
        "[...document.querySelectorAll('main table')].map("
        "t => document.getElementById(t.getAttribute('aria-labelledby')).innerText)"
    )
    # Of extents, of the classes of both splits, and of probes.
    assert len(named) == 4


@pytest.mark.parametrize("width", [2560, 1200, 390])
def test_a_page_is_as_wide_as_the_window(shown, width):
    shown.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=800,
        deviceScaleFactor=1,
        mobile=width < 500,
    )
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
