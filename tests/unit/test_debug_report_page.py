"""report.html and compare.html as documents: whole, escaped, self-contained, whatever the job."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byoc.debugger.report.build import build
from byoc.debugger.report.html.compare import render_pair
from byoc.debugger.report.html.heat import LEVELS, png
from byoc.debugger.report.html.page import SECTIONS, render
from byoc.debugger.run import Run
from byoc.html.element import Html, tag
from byoc.html.scale import Scale, clock_words, fitted_log
from byoc.html.text import duration, number, percent, size
from debug_runs import NASTY, job, results
from outline import Outline


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return build(job(), results())


def test_sections_are_in_awss_order_then_ours(report: dict[str, Any]) -> None:
    outline = Outline(render(report))
    titles = [title for _, title, _ in SECTIONS]
    assert outline.headings[1::2] == titles
    assert outline.headings[::2] == [str(place) for place in range(1, 15)]
    assert titles[:4] == ["Training job", "System usage", "Framework metrics", "Rules"]


def test_nothing_lies_outside_the_file(report: dict[str, Any]) -> None:
    page = render(report)
    outline = Outline(page)
    assert [a for a in outline.addresses if not a.startswith(("#", "data:image/png"))] == []
    assert not re.search(r"url\(|@import|https?://", page)
    assert "default-src &#x27;none&#x27;" in page
    targets = {address[1:] for address in outline.addresses if address.startswith("#")}
    assert targets <= set(outline.ids)


@pytest.mark.parametrize(
    "facts",
    [
        {"job": NASTY},
        {"hyperparameters": {NASTY: NASTY}},
        {"versions": {NASTY: NASTY}},
        {NASTY: NASTY},
        {"metrics": {NASTY: 1.0, "note": NASTY}},
    ],
)
def test_a_jobs_texts_are_text(facts: dict[str, Any]) -> None:
    report = build(job(**facts), results())
    for page in (render(report), render_pair(report, build(job(), []))):
        assert Outline(page).scripts == 1
        assert "<script>alert" not in page


def test_rules_and_operators_and_curves_are_text() -> None:
    run = job()
    run.operators[0] = type(run.operators[0])(NASTY, "cpu", 1e6, 1)
    run.history.append({"step": 3, NASTY: 1.0})
    found = results()
    for result in found:
        result.rule = result.reason = NASTY
    report = build(run, found)
    page = render(report)
    outline = Outline(page)
    assert outline.scripts == 1
    assert NASTY in "".join(outline.text)


def test_the_finding_says_what_where_and_what_to_do(report: dict[str, Any]) -> None:
    text = " ".join("".join(Outline(render(report)).text).split())
    assert "Overfit fired 7 times" in text
    assert "Stop earlier." in text
    assert "(at eval step 4, 9 s after the start)" in text
    assert "and 6 more" in text


def test_plots_are_drawn_though_no_rule_fired() -> None:
    page = render(build(job(), []))
    for title in (
        "Loss",
        "CPU utilization",
        "Utilization of cores and GPUs",
        "Time by phase",
        "Top CPU operators",
        "Step duration over time",
        "How long steps take",
    ):
        assert f"<figcaption>{title}</figcaption>" in page


def test_every_drawing_has_words(report: dict[str, Any]) -> None:
    drawings = re.findall(r"<svg.*?</svg>", render(report), re.S)
    assert len(drawings) > 6
    for drawing in drawings:
        assert re.search(r'aria-label="[^"]{10,}"', drawing)
        assert "<title>" in drawing
        assert "NaN" not in drawing
        assert "nan" not in drawing


def test_a_job_without_anything_makes_a_page() -> None:
    nothing = build(Run(Path("nothing")), [])
    assert "No system metrics were saved." in "".join(Outline(render(nothing)).text)
    Outline(render_pair(nothing, nothing))


def test_comparison_shows_what_differs() -> None:
    first = build(job(job="one", hyperparameters={"lr": "5e-5", "seed": "1"}), results())
    second = build(job(job="two", hyperparameters={"lr": "1e-3", "seed": "1"}), [])
    text = " ".join(Outline(render_pair(first, second)).text)
    assert "one and two" in text
    assert re.search(r"lr 5e-5 1e-3", text)
    assert "seed" not in text
    assert "1 more are the same in both." in text


def test_two_jobs_of_one_name_are_told_apart(report: dict[str, Any]) -> None:
    text = " ".join(Outline(render_pair(report, report)).text)
    assert "A a-job and B a-job" in text


def test_elements_escape_but_for_elements() -> None:
    assert tag("p", "<b>", tag("i", "&")) == "<p>&lt;b&gt;<i>&amp;</i></p>"
    assert tag("a", href='"x"', hidden=True, title=None) == '<a href="&quot;x&quot;" hidden></a>'
    assert isinstance(tag("p"), Html)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (number(1234567), "1,234,567"),
        (number(0.01234), "0.0123"),
        (number(None), "\u2013"),
        (number(1e-7), "1e-07"),
        (duration(0.0312), "31.2 ms"),
        (duration(59.99), "60 s"),
        (duration(3599.7), "60 min 00 s"),
        (duration(3723), "1 h 02 min"),
        (percent(0.0123), "1.2%"),
        (size(1_500_000_000), "1.5 GB"),
    ],
)
def test_numbers_as_people_read_them(words: str, expected: str) -> None:
    assert words == expected


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 7e-9), (-3, 5), (1e6, 1e6 + 1), (0, 28_800), (12, 13.7)]
)
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    for words in (number, clock_words):
        ticks = Scale(low, high, words=words).ticks(5)
        assert 1 <= len(ticks) <= 6
        assert all(low - 1e-9 <= tick <= high * (1 + 1e-9) for tick in ticks)


@pytest.mark.parametrize("values", [[1e-9, 1e3], [2.0, 3.0], [5.0], [0.0]])
def test_logarithmic_scales_have_ticks(values: list[float]) -> None:
    scale = fitted_log(values)
    ticks = scale.ticks(4)
    assert 1 <= len(ticks) <= 5
    assert all(-0.01 <= scale.place(tick) <= 1.01 for tick in ticks)


def test_a_heat_maps_picture_is_a_png_of_its_levels() -> None:
    content = png([[0, 50, 100], [None, 100, 0]])
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack_from(">II", content, 16)
    assert (width, height) == (3, 2)
    start = content.index(b"IDAT") + 4
    (length,) = struct.unpack_from(">I", content, start - 8)
    lines = zlib.decompress(content[start : start + length])
    full = LEVELS - 1
    assert list(lines) == [0, 0, round(full / 2), full, 0, 0, full, 0]


def test_eight_hours_of_samples_stay_under_five_megabytes() -> None:
    run = job(seconds=8 * 3600.0)
    run.history = [
        {"step": step, "train_loss": float(np.sin(step)), "lr": 1e-5} for step in range(50_000)
    ]
    page = render(build(run, results()))
    assert len(page.encode()) < 1_500_000
    assert "57,600 samples in 600 columns" in page
