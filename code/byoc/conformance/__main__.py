"""``python -m byoc.conformance IMAGE [--training|--serving]``: a row for each clause.

Exit code 1 where any failed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
from pathlib import Path
from types import FrameType

from byoc.conformance.clauses import catalogue
from byoc.conformance.engine import Engine, EngineError
from byoc.conformance.image import open_image
from byoc.conformance.outcome import Outcome, Verdict
from byoc.conformance.runner import check, passed


def main() -> int:
    """Runs the check of the command line."""
    words = _arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    wanted = [it for it in catalogue(*words.parts) if not words.only or it.id in words.only]
    try:
        with Engine(words.jobs) as engine:
            outcomes = check(open_image(engine, words.image), wanted, lambda it: _tell(it))
    except EngineError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("conformance: interrupted", file=sys.stderr)
        return 130
    print()
    for outcome in outcomes:
        print(row(outcome))
    if words.json:
        content = [dataclasses.asdict(it) for it in outcomes]
        words.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if passed(outcomes) else 1


def row(outcome: Outcome) -> str:
    """One line; for a fail two more, with the cause and the usual remedy."""
    line = f"{outcome.id}  {outcome.verdict.upper():<14} {outcome.seconds:6.1f} s  {outcome.asked}"
    if outcome.verdict is not Verdict.FAIL:
        return f"{line}\n     {outcome.seen}" if outcome.seen else line
    return (
        f"{line}\n     cause: {outcome.cause}\n     remedy: {outcome.remedy} (AWS: {outcome.page})"
    )


def _tell(outcome: Outcome) -> None:
    cause = f": {outcome.cause}" if outcome.cause else ""
    line = f"{outcome.id} {outcome.verdict} {outcome.seconds:.1f} s{cause}"
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m byoc.conformance", description=__doc__)
    parser.add_argument("image")
    parser.add_argument("--training", dest="parts", action="append_const", const="training")
    parser.add_argument("--serving", dest="parts", action="append_const", const="serving")
    parser.add_argument("--image-part", dest="parts", action="append_const", const="image")
    parser.add_argument("--only", type=lambda text: text.split(","), help="T01,T12")
    parser.add_argument("--jobs", type=int, default=2, help="at most so many run at a time")
    parser.add_argument("--json", type=Path)
    found = parser.parse_args()
    found.parts = found.parts or []
    return found


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
