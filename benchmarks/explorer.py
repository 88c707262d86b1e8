r"""The explorer of a large run is less than 60 MB, soon usable, and answers filters at once.

Run: python -m benchmarks.explorer
Takes about a minute on two cores, and needs Chromium or Chrome.

What is shown: 100 members, 30 extents, 60,000 train and 10,000 test examples of 10 classes with
pictures of 32 by 32 pixels, made up, with all scores of `ensemble_jax.analysis.SCORES` and their
standard errors. Timed in the browser, without its window and without a graphics driver: from the
opening of the file to a page that can be used, and from the choice of a filter or an extent to all
views drawn and laid out.

Results: `results.json` with every measurement and `table.md` in `--output`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks import explorer_page
from benchmarks.browser import BROWSERS, Browser, find_browser
from benchmarks.environment import define_output, describe_environment, write_page
from benchmarks.summary import Spread, markdown

_MEMBERS = flags.DEFINE_integer("members", 100, "N.", lower_bound=2)
_EXTENTS = flags.DEFINE_integer("extents", 30, "E.", lower_bound=2)
_TRAIN = flags.DEFINE_integer("train", 60_000, "Train examples.", lower_bound=10)
_TEST = flags.DEFINE_integer("test", 10_000, "Test examples.", lower_bound=10)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "How often the page is opened.", lower_bound=1)
_OUTPUT = define_output("explorer")

_FORMAT = 1
_WIDTH, _HEIGHT = 1280, 900
# Milliseconds from each event of a control to a page that is laid out.
_TIMED = """(() => Array.from({ length: 20 }, (_, i) => {
    const control = document.getElementById("x-%s");
    const begun = performance.now();
    control.value = String(i %% 10);
    control.dispatchEvent(new Event("%s"));
    document.body.offsetHeight;
    return performance.now() - begun;
}))()"""
_CONTROLS = {"class": ("label", "change"), "id": ("search", "input"), "epoch": ("extent", "input")}


def measure(browser: Browser, path: Path, rounds: int) -> dict[str, list[float]]:
    """Milliseconds until the page can be used, and those that each control takes."""
    size = {"width": _WIDTH, "height": _HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    times: dict[str, list[float]] = {name: [] for name in ("ready", *_CONTROLS)}
    for _ in range(rounds):
        browser.open_explorer(path)
        ready = browser.evaluate("+document.getElementById('x-body').dataset.milliseconds")
        times["ready"].append(ready)
        for name, of in _CONTROLS.items():
            times[name] += browser.evaluate(_TIMED % of)
            browser.evaluate("document.getElementById('x-reset').click()")
    return times


def write_results(folder: str, content: dict[str, Any]) -> None:
    """Write the results, and a page with a row for each of what a reader waits for."""
    shape, times = content["shape"], content["milliseconds"]
    names = {
        "ready": "until the page can be used",
        "class": "another class chosen",
        "id": "an id looked for",
        "epoch": "another epoch chosen",
    }
    write_page(
        folder,
        content,
        "The explorer of a large run",
        f"{content['browser']}. {shape['members']} members, {shape['extents']} extents, "
        f"{shape['train']} train and {shape['test']} test examples: a file of "
        f"{content['bytes'] / 1e6:.1f} MB. Median (least-largest) of all measurements.",
        markdown(
            ("what", "milliseconds"),
            [(told, Spread.of(times[name]).written("{:.0f}")) for name, told in names.items()],
        ),
    )


def main(_: list[str]) -> None:
    """Make the page, measure and write."""
    program = find_browser()
    if program is None:
        raise SystemExit(f"a browser is needed, there is none of {', '.join(BROWSERS)}")
    environment = describe_environment()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, "report.html")
        sizes = {"train": _TRAIN.value, "test": _TEST.value}
        explorer_page.write_page(path, sizes, _MEMBERS.value, _EXTENTS.value)
        browser = Browser(program, Path(folder, "profile"))
        try:
            times = measure(browser, path, _ROUNDS.value)
            version = browser.call("Browser.getVersion")["product"]
        finally:
            browser.close()
        content = {
            "kind": "ensemble_jax explorer",
            "format": _FORMAT,
            "environment": environment,
            "browser": version,
            "shape": sizes | {"members": _MEMBERS.value, "extents": _EXTENTS.value},
            "bytes": path.stat().st_size,
            "milliseconds": times,
        }
    write_results(_OUTPUT.value, content)


if __name__ == "__main__":
    app.run(main)
