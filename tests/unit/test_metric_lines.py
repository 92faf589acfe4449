"""Metric lines and the expressions that SageMaker matches them with."""

from __future__ import annotations

import math
import re

import pytest

from byoc.metric_lines import METRIC_DEFINITIONS, METRICS, metric_line, read_metrics


@pytest.mark.parametrize("value", [0.5, -0.25, 1.0, 1e-9, 3e12, 0.0])
def test_what_is_printed_is_read(value: float) -> None:
    found = read_metrics(metric_line({"epoch": 1, **dict.fromkeys(METRICS, value)}))
    assert found == {name: [value] for name in METRICS}


def test_not_a_number_is_read_too() -> None:
    assert math.isnan(read_metrics(metric_line({"val_loss": math.nan}))["val_loss"][0])
    assert read_metrics(metric_line({"val_loss": math.inf}))["val_loss"] == [math.inf]


def test_values_come_in_order_of_appearance() -> None:
    log = "noise\nepoch=1 val_mcc=0.1\nmore noise val_mcc is good\nepoch=2 val_mcc=0.2\n"
    assert read_metrics(log)["val_mcc"] == [0.1, 0.2]


def test_definitions_keep_to_the_platform_s_limits() -> None:
    assert len(METRIC_DEFINITIONS) <= 40
    assert all(len(definition["Regex"]) <= 500 for definition in METRIC_DEFINITIONS)
    assert all(re.compile(definition["Regex"]).groups == 1 for definition in METRIC_DEFINITIONS)
