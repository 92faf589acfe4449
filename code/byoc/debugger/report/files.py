"""Makes report.json and report.html of a job's output."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from byoc.debugger.findings import RuleResult
from byoc.debugger.layout import REPORT_HTML, REPORT_JSON
from byoc.debugger.report.build import build
from byoc.debugger.report.html.page import render
from byoc.debugger.report.tensors import Tensors
from byoc.debugger.run import Run


def write_report(
    run: Run, results: list[RuleResult], folder: Path, tensors: Tensors | None = None
) -> dict[str, Any]:
    """Writes both files into ``folder``, each whole or not at all; returns the JSON's content.

    Raises ``OSError`` where the folder cannot be written to.
    """
    report = build(run, results, tensors)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / REPORT_JSON, json.dumps(report, indent=1, allow_nan=False) + "\n")
    write_whole(folder / REPORT_HTML, render(report))
    return report


def write_whole(path: Path, content: str) -> None:
    """Under a name of its own first: what lies under ``path`` is whole, before and after."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
