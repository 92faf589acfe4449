"""The environment as settings."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from byoc.serving.faults import ServingFault
from byoc.serving.settings import available_cores, read_settings


def test_defaults() -> None:
    settings = read_settings({})
    assert (settings.port, settings.timeout, settings.body_limit) == (8080, 60, 6_291_456)
    assert settings.workers >= 1
    assert settings.threads >= 1
    assert settings.log_level == logging.INFO


def test_what_is_set_is_taken() -> None:
    settings = read_settings(
        {
            "SAGEMAKER_BIND_TO_PORT": "9090",
            "SAGEMAKER_MODEL_SERVER_WORKERS": "3",
            "SAGEMAKER_MODEL_SERVER_TIMEOUT": "7",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": "20",
            "SAGEMAKER_CONTAINER_LOG_LEVEL": "warning",
        }
    )
    assert (settings.port, settings.workers, settings.timeout) == (9090, 3, 7)
    assert settings.body_limit == 20 * 1024 * 1024
    assert settings.log_level == logging.WARNING


def test_a_smaller_payload_limit_keeps_the_documented_one() -> None:
    assert read_settings({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1"}).body_limit == 6_291_456


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "http"),
        ("SAGEMAKER_BIND_TO_PORT", "70000"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "0"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "1.5"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "-6"),
        ("SAGEMAKER_CONTAINER_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(ServingFault, match=name):
        read_settings({name: value})


def test_the_cgroup_limits_the_cores(tmp_path: Path) -> None:
    cgroup = tmp_path / "sys/fs/cgroup"
    cgroup.mkdir(parents=True)
    (cgroup / "cpu.max").write_text("50000 100000\n")
    assert available_cores(tmp_path) == 1
    (cgroup / "cpu.max").write_text("max 100000\n")
    assert available_cores(tmp_path) == available_cores(tmp_path / "none")
