"""report.html and compare.html in a real browser: Debian's chromium, headless."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pytest

from browser import Browser
from byoc.debugger.report.build import build
from byoc.debugger.report.html.compare import render_pair
from byoc.debugger.report.html.page import render
from debug_runs import NASTY, job, results

WIDE = "An unbroken name " + "x" * 300


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report and a comparison, with names that are long and strange."""
    facts: dict[str, Any] = {"job": NASTY + WIDE, "hyperparameters": {WIDE: WIDE, "lr": NASTY}}
    report = build(job(seconds=3600.0, **facts), results())
    folder = tmp_path_factory.mktemp("pages")
    found = {"report": render(report), "compare": render_pair(report, build(job(), []))}
    for name, page in found.items():
        (folder / f"{name}.html").write_text(page)
    return {name: folder / f"{name}.html" for name in found}


@pytest.mark.parametrize("name", ["report", "compare"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_fits_and_can_be_read(
    browser: Browser, pages: dict[str, Path], tmp_path: Path, name: str, dark: bool, width: int
) -> None:
    browser.open(pages[name], width, dark)
    browser.reads_well(pages[name], width, dark)
    picture = browser.screenshot(tmp_path / "page.png")
    shown, height = struct.unpack_from(">II", picture, 16)
    assert shown == width
    assert height > 1000


def test_words_in_drawings_keep_their_size(browser: Browser, pages: dict[str, Path]) -> None:
    """The drawing stretches; what stands beside it must not."""
    label = "getComputedStyle(document.querySelector('.frame .x span')).fontSize"
    sizes = set()
    for width in (400, 1600):
        browser.open(pages["report"], width)
        sizes.add(browser.value(label))
    assert sizes == {"12px"}


def test_the_rules_are_read_on_a_narrow_page_without_scrolling_sideways(
    browser: Browser, pages: dict[str, Path]
) -> None:
    browser.open(pages["report"], 400)
    assert browser.value(
        """(() => {
          const box = document.querySelector("#rules table").parentElement;
          return [box.scrollWidth <= box.clientWidth,
            getComputedStyle(box.querySelector("td.number"), "::before").content];
        })()"""
    ) == [True, '"Fired "']


def test_labels_of_an_axis_do_not_overlap(browser: Browser, pages: dict[str, Path]) -> None:
    overlaps = """
    [...document.querySelectorAll(".frame .x")].filter((axis) => {
      const boxes = [...axis.children].map((label) => label.getBoundingClientRect());
      return boxes.some((box, place) => place && box.left < boxes[place - 1].right);
    }).map((axis) => axis.closest("figure").innerText.slice(0, 40))
    """
    browser.open(pages["report"], 400)
    assert browser.value(overlaps) == []


def test_the_page_reads_without_its_script(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["report"], 1600, script=False)
    with_script_off = browser.call("Page.getLayoutMetrics")["cssContentSize"]["height"]
    browser.open(pages["report"], 1600)
    assert browser.call("Page.getLayoutMetrics")["cssContentSize"]["height"] == with_script_off


def test_pointing_at_a_curve_reads_its_value(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["report"], 1600)
    found = browser.value(
        """(() => {
          const figure = [...document.querySelectorAll("figure")]
            .find((figure) => figure.querySelector("figcaption").textContent === "GPU utilization");
          const svg = figure.querySelector("svg");
          svg.scrollIntoView({behavior: "instant", block: "center"});
          const box = svg.getBoundingClientRect();
          return [box.left + box.width / 2, box.top + box.height / 2];
        })()"""
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=found[0], y=found[1])
    text = browser.value("document.querySelector('.readout')?.textContent")
    assert re.fullmatch(r"at 1[78]\d\d(\.\d+)?\ngpu0: 31", text), text


def test_a_finding_leads_to_its_section(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["report"], 1600)
    address = browser.value("document.querySelector('.headlines a').getAttribute('href')")
    assert browser.value(f"document.querySelector('{address} .finding') !== null")


@pytest.mark.parametrize("name", ["report", "compare"])
def test_the_page_prints(browser: Browser, pages: dict[str, Path], name: str) -> None:
    browser.open(pages[name], 1600, dark=True)
    printed = browser.pdf()
    assert printed.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 20
