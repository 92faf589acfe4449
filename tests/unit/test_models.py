"""Multi-model mode: pages, memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from byoc.serving import memory, models
from byoc.serving.models import Model, Models
from byoc.serving.settings import read_settings
from byoc.serving.state import State


def with_models(tmp_path: Path, count: int) -> Models:
    found = Models(read_settings({}), State(tmp_path))
    for number in range(count):
        name = f"model-{number:04d}"
        found._models[name] = Model(name, "/m", f"m{number}", State(tmp_path), is_loaded=True)
    return found


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_pages_hold_every_model_once(tmp_path: Path, count: int) -> None:
    loaded, query, seen = with_models(tmp_path, count), "", []
    while True:
        page = json.loads(loaded.answer("GET", "/models", query, b"").body)
        seen += [entry["modelName"] for entry in page["models"]]
        if "nextPageToken" not in page:
            break
        query = f"next_page_token={page['nextPageToken']}"
    assert seen == [f"model-{number:04d}" for number in range(count)]


def test_a_model_that_is_too_large_is_507(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model/code"
    folder.mkdir(parents=True)
    (folder / "inference.py").write_text("def model_fn(folder): ...")
    monkeypatch.setattr(memory, "available", lambda: models.WORKER_BYTES // 2)
    body = json.dumps({"model_name": "a", "url": str(folder.parent)}).encode()
    loaded = with_models(tmp_path, 0)
    assert loaded.answer("POST", "/models", "", body).status == 507
    assert loaded.answer("GET", "/models/a", "", b"").status == 404


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = {"proc__meminfo": "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n"}


def test_memory_by_the_machine(tmp_path: Path) -> None:
    assert memory.available(write(tmp_path, **MEMINFO)) == 8000 * 1024


def test_memory_by_the_cgroup(tmp_path: Path) -> None:
    v2 = {
        "sys__fs__cgroup__memory_DOT_max": "1000000",
        "sys__fs__cgroup__memory_DOT_current": "700000",
        "sys__fs__cgroup__memory_DOT_stat": "anon 5\ninactive_file 100000\n",
    }
    assert memory.available(write(tmp_path / "2", **MEMINFO, **v2)) == 400_000
    v1 = {
        "sys__fs__cgroup__memory__memory_DOT_limit_in_bytes": "1000000",
        "sys__fs__cgroup__memory__memory_DOT_usage_in_bytes": "700000",
        "sys__fs__cgroup__memory__memory_DOT_stat": "inactive_file 7\ntotal_inactive_file 100000\n",
    }
    assert memory.available(write(tmp_path / "1", **MEMINFO, **v1)) == 400_000
    no_limit = v1 | {"sys__fs__cgroup__memory__memory_DOT_limit_in_bytes": str(2**63 - 4096)}
    assert memory.available(write(tmp_path / "0", **MEMINFO, **no_limit)) == 8000 * 1024


def test_this_process_has_memory_of_its_own() -> None:
    import os

    assert memory.private(os.getpid()) > 1_000_000
    assert memory.private(2**22 + 1) == 0
