"""What a tuning leaves in its folder for people and for programs."""

from __future__ import annotations

import os
from pathlib import Path

from byoc.launch.errors import LaunchError
from byoc.tuning.page.document import render
from byoc.tuning.results import TuningResult

BEST, TRIALS, RESULTS, PAGE = "best.json", "trials.csv", "results.json", "tuning.html"


def write(result: TuningResult, folder: Path) -> None:
    """best.json (once a trial has completed), trials.csv, results.json and tuning.html; each whole
    or not at all.

    Raises ``LaunchError`` where the folder cannot be written to.
    """
    files = {TRIALS: result.to_csv(), RESULTS: result.to_json(), PAGE: render(result)}
    if result.best is not None:
        files[BEST] = result.best_json()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            partial = folder / f".{name}.{os.getpid()}"
            partial.write_text(content, encoding="utf-8")
            partial.replace(folder / name)
    except OSError as error:
        raise LaunchError(f"cannot write the results to {folder}: {error.strerror}") from error
