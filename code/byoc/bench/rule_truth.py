"""`make test-debugger`: whether rules find planted faults, and how often healthy jobs alarm them.

    python -m byoc.bench.rule_truth [--data FOLDER] [--model FOLDER] [--out FOLDER] [--only TEXT]
                                    [--tuning] [--anew] [--minutes N]

Each job is trained once and its output kept in OUT; rules are run over it anew each time. Exits 1
where a planted fault is not found with both parameter sets, or where ``recommended`` alarms more
than 2 of 30 healthy jobs. ``--minutes``: no training begins later than that; exits 75 where jobs
are left, and the next call goes on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from byoc.bench import rule_job
from byoc.bench.rule_jobs import AWS_PARAMETERS, SECONDS, Job, jobs
from byoc.debugger.rules.parameters import SETS, ParameterSet

OUT = Path("out/rules")
DONE = "done"
LEFT = 75
"""The exit code where jobs are left for another call: sysexits.h's EX_TEMPFAIL."""
ALLOWED = 2 / 30
"""Share of healthy jobs that may alarm with ``recommended``."""


@dataclass
class Verdict:
    """``fired``: the names of the rules, by parameter set."""

    job: Job
    fired: dict[ParameterSet, set[str]] = field(default_factory=dict)

    def missed(self, parameter_set: ParameterSet) -> set[str]:
        return set(self.job.rules) - self.fired[parameter_set]


def main() -> int:
    given = _arguments()
    only = given.only.split(",")
    chosen = [job for job in jobs(given.tuning) if any(part in job.key for part in only)]
    if given.data is None or given.model is None:
        left = [job for job in chosen if job.model == "minilm"]
        if left:
            print(f"left out: {len(left)} jobs of CoLA and MiniLM; give DATA= and MODEL=")
        chosen = [job for job in chosen if job.model != "minilm"]
    rule_job.import_libraries()
    code = _train_all(chosen, given)
    if code:
        return code
    verdicts = []
    for number, job in enumerate(chosen, 1):
        verdict = judge(job, given.out)
        verdicts.append(verdict)
        print(f"{number}/{len(chosen)} {_line(verdict)}", flush=True)
    print("\n".join(table(verdicts)))
    return 0 if is_good(verdicts) else 1


def _arguments() -> Any:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", default="")
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--anew", action="store_true")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    return parser.parse_args()


def _train_all(chosen: list[Job], given: Any) -> int:
    """Those whose output is not kept from an earlier call; an exit code."""
    if given.anew:
        for job in chosen:
            shutil.rmtree(given.out / job.key, ignore_errors=True)
    left = [job for job in chosen if not (given.out / job.key / DONE).is_file()]
    began = time.monotonic()
    for number, job in enumerate(left):
        started = time.monotonic()
        if started - began > 60 * given.minutes:
            print(f"{len(left) - number} jobs are left: call again")
            return LEFT
        if not _train(job, given):
            return 1
        print(f"trained {job.key} ({time.monotonic() - started:.0f} s)", flush=True)
    return 0


def _train(job: Job, given: Any) -> bool:
    folder = given.out / job.key
    log = given.out / f"{job.key}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    # A fork has the libraries imported already, which is half of so small a job.
    child = os.fork()
    if child == 0:
        os._exit(_forked(job, folder, log, given))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        (folder / DONE).touch()
        return True
    print(f"{job.key} failed with {code}: see {log}")
    return False


def _forked(job: Job, folder: Path, log: Path, given: Any) -> int:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    try:
        rule_job.run(job, folder, given.data, given.model)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        return 1
    sys.stdout.flush()
    return 0


def judge(job: Job, out: Path) -> Verdict:
    from byoc.debugger.engine import evaluate
    from byoc.debugger.run import read

    run = read(_output(out, job.key))
    verdict = Verdict(job)
    common = {} if job.model == "minilm" else dict(SECONDS)
    if job.other:
        other = read(_output(out, f"{job.other}-{job.seed}"))
        common["SimilarAcrossRuns"] = {"other_trial": str(other.tensors)}
    for parameter_set in SETS:
        parameters = common | (AWS_PARAMETERS if parameter_set == "aws" else {})
        results = evaluate(run, parameter_set=parameter_set, parameters=parameters)
        failed = [result for result in results if "failed" in result.reason]
        assert not failed, f"{job.key}: {failed}"
        verdict.fired[parameter_set] = {
            result.rule
            for result in results
            if result.status == "fired" and result.rule != "ProfilerReport"
        }
    return verdict


def _output(out: Path, key: str) -> Path:
    return out / key / "output" / "data"


def _line(verdict: Verdict) -> str:
    job = verdict.job
    parts = [f"{job.key}: {job.fault or 'healthy'}"]
    for parameter_set, fired in verdict.fired.items():
        missed = verdict.missed(parameter_set)
        text = f"{parameter_set}: {', '.join(sorted(fired)) or '-'}"
        parts.append(text + (f" MISSED {', '.join(sorted(missed))}" if missed else ""))
    return "; ".join(parts)


def table(verdicts: Iterable[Verdict]) -> list[str]:
    """Markdown: by rule and parameter set, planted faults found and healthy jobs alarmed."""
    found = list(verdicts)
    healthy = [verdict for verdict in found if verdict.job.is_healthy]
    rules = sorted({rule for v in found for rule in v.job.rules} | _all_fired(found))
    lines = ["", "| rule | faults planted | aws: found | healthy alarmed | recommended: found |"]
    lines[1] += " healthy alarmed |"
    lines.append("| --- |" + " ---: |" * 5)
    for rule in rules:
        planted = [verdict for verdict in found if rule in verdict.job.rules]
        cells = [str(len(planted))]
        for parameter_set in SETS:
            hit = sum(rule in verdict.fired[parameter_set] for verdict in planted)
            alarmed = sum(rule in verdict.fired[parameter_set] for verdict in healthy)
            cells += [str(hit) if planted else "-", f"{alarmed} of {len(healthy)}"]
        lines.append(f"| {rule} | {' | '.join(cells)} |")
    lines.append("")
    for parameter_set in SETS:
        loud = [verdict for verdict in healthy if verdict.fired[parameter_set]]
        faults = [verdict for verdict in found if not verdict.job.is_healthy]
        missed = [verdict.job.key for verdict in faults if verdict.missed(parameter_set)]
        lines.append(
            f"{parameter_set}: {len(faults) - len(missed)} of {len(faults)} planted faults found"
            + (f" (not: {', '.join(missed)})" if missed else "")
            + f"; {len(loud)} of {len(healthy)} healthy jobs alarm any rule"
        )
    return lines


def _all_fired(verdicts: Iterable[Verdict]) -> set[str]:
    counts: Counter[str] = Counter()
    for verdict in verdicts:
        if verdict.job.is_healthy:
            for fired in verdict.fired.values():
                counts.update(fired)
    return set(counts)


def is_good(verdicts: Iterable[Verdict]) -> bool:
    found = list(verdicts)
    healthy = [verdict for verdict in found if verdict.job.is_healthy]
    alarmed = sum(bool(verdict.fired["recommended"]) for verdict in healthy)
    missed = any(verdict.missed(each) for verdict in found for each in SETS)
    return not missed and alarmed <= max(ALLOWED * len(healthy), 0)


if __name__ == "__main__":
    sys.exit(main())
