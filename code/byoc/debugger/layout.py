"""Where a debugged job leaves its tensors, metrics and report.

Under output/data/, so that they reach S3 with the job's own output where no Debugger does it:

    output/data/debugger/tensors/                      smdebug's own form: collections/, events/, index/
    output/data/debugger/profiler-output/system/       SageMaker's form, one JSON object a line
    output/data/debugger/profiler-output/framework/    phases (pevents/), torch.profiler's traces
    output/data/debugger/rules.json                    what live rules have found
    output/data/debugger/report.html, report.json

A debughookconfig.json or profilerconfig.json that SageMaker wrote moves tensors and metrics to the
paths that it names, as it uploads them from there.
"""

from __future__ import annotations

from pathlib import Path

from byoc import contract

TENSORS = "tensors"
PROFILER = "profiler-output"
RULES = "rules.json"
REPORT_HTML, REPORT_JSON = "report.html", "report.json"


def debugger_dir() -> Path:
    return contract.output_data_dir() / "debugger"
