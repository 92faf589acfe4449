"""tuning.html in a real browser: Debian's chromium, headless."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from browser import Browser
from byoc.tuning.page.document import render
from byoc.tuning.ranges import Categorical, Continuous
from debug_runs import NASTY
from tuning_results import RANGES, twenty


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of six hyperparameters, some with long names and values."""
    found = twenty()
    more = {"an-unbroken-name-" + "x" * 60: "0.1", NASTY: "y" * 60, "c": "0.5", "d": "2"}
    trials = tuple(
        dataclasses.replace(
            it, values={**it.values, **more}, cause=it.cause and it.cause + "x" * 90
        )
        for it in found.trials
    )
    ranges = (*RANGES, Continuous("c", 0.0, 1.0), Categorical("d", tuple("123456789")))
    path = tmp_path_factory.mktemp("page") / "tuning.html"
    path.write_text(render(dataclasses.replace(found, trials=trials, ranges=ranges)))
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_fits_and_can_be_read(
    browser: Browser, page: Path, width: int, dark: bool
) -> None:
    browser.open(page, width, dark)
    browser.reads_well(page, width, dark)


def test_wide_coordinates_scroll_by_themselves_and_can_be_reached(
    browser: Browser, page: Path
) -> None:
    browser.open(page, 400)
    found = browser.value(
        """(() => {
          const box = document.querySelector(".parallel").parentElement;
          box.focus();
          return [box.scrollWidth > box.clientWidth, document.activeElement === box];
        })()"""
    )
    assert found == [True, True]


def test_pointing_at_the_history_reads_a_trials_value(browser: Browser, page: Path) -> None:
    browser.open(page, 1600)
    x, y = browser.value(
        """(() => {
          const svg = document.querySelector("#history svg");
          svg.scrollIntoView({behavior: "instant", block: "center"});
          const box = svg.getBoundingClientRect();
          return [box.left + box.width * 10.5 / 20, box.top + box.height / 2];
        })()"""
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    text = browser.value("document.querySelector('.readout')?.textContent")
    assert re.search(r"best so far: 0\.(49|5)", text), text
    assert re.search(r"val_mcc: 0\.(49|5)", text), text


def test_the_page_reads_without_its_script_and_prints(browser: Browser, page: Path) -> None:
    browser.open(page, 1600, script=False)
    height = browser.call("Page.getLayoutMetrics")["cssContentSize"]["height"]
    browser.open(page, 1600)
    assert browser.call("Page.getLayoutMetrics")["cssContentSize"]["height"] == height
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", browser.pdf())) <= 12
