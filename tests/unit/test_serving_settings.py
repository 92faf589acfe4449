"""The environment as settings."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from byoc.cores import available_cores
from byoc.serving import variables
from byoc.serving.faults import ServingFault
from byoc.serving.model_files import workers_of_a_gpu
from byoc.serving.settings import read_settings


def test_defaults() -> None:
    settings = read_settings({})
    assert (settings.port, settings.timeout, settings.body_limit) == (8080, 59, 6_291_456)
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
        ("SAGEMAKER_BATCH", "yes"),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/x-npy"),
        ("BYOC_TOP_K", "0"),
        ("BYOC_TOP_K", "some"),
        ("BYOC_PRECISION", "int4"),
        ("BYOC_MAX_LENGTH", "\u0664\u0664"),
        ("BYOC_BATCH_SIZE", "9" * 5000),
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


def test_batch_transform_has_more_time_and_no_header() -> None:
    settings = read_settings({"SAGEMAKER_BATCH": "true", "BYOC_CSV_HEADER": "present"})
    assert settings.timeout == 599
    assert settings.rules.is_batch


def test_execution_parameters_suit_the_instance() -> None:
    found = read_settings({"SAGEMAKER_MODEL_SERVER_WORKERS": "3"}).execution.as_json()
    assert found["MaxConcurrentTransforms"] == 6
    assert found["BatchStrategy"] == "MultiRecord"
    assert 1 <= found["MaxPayloadInMB"] <= 6


@pytest.mark.parametrize("megabytes", ["0", "6", "40", "100"])
def test_payload_times_transforms_is_at_most_100_mb(megabytes: str) -> None:
    settings = read_settings(
        {"SAGEMAKER_MAX_PAYLOAD_IN_MB": megabytes, "SAGEMAKER_MODEL_SERVER_WORKERS": "64"}
    )
    found = settings.execution
    assert found.payload == (int(megabytes) or 100)
    assert found.payload * found.transforms <= 100
    assert settings.body_limit >= found.payload * 1024 * 1024


def test_all_labels() -> None:
    assert read_settings({"BYOC_TOP_K": "all"}).rules.top_k is None


def test_the_table_in_the_docs_is_that_of_the_program() -> None:
    docs = Path(__file__).parents[2] / "docs/serving.md"
    assert variables.table() in docs.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("size", "script", "cores", "workers"),
    [(1000, False, 16, 3), (1000, False, 2, 1), (2_000_000_000, False, 16, 1), (1000, True, 16, 1)],
)
def test_a_gpu_is_shared_by_workers_of_a_small_model(
    size: int, script: bool, cores: int, workers: int, tmp_path: Path
) -> None:
    with (tmp_path / "model.safetensors").open("wb") as stream:
        stream.truncate(size)
    if script:
        (tmp_path / "code").mkdir()
        (tmp_path / "code" / "inference.py").write_text("def model_fn(folder): ...\n")
    assert workers_of_a_gpu(tmp_path, cores) == workers
