"""A browser that opens reports; tests that need one skip, saying so, where there is none."""

import pytest

from benchmarks.browser import BROWSERS, Browser, find_browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = find_browser()
    if program is None:
        pytest.skip(f"no browser here, none of {', '.join(BROWSERS)}")
    browser = Browser(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()
