"""Where a debugged job leaves its tensors, metrics and report.

Under output/data/, so that they reach S3 with the job's own output where no Debugger does it:

    output/data/debugger/facts.json          what was trained, on what, when
    output/data/debugger/tensors/            smdebug's own form: collections/, events/, index/
    output/data/debugger/profiler-output/
        system/                              SageMaker's form, one JSON object a line
        framework/pevents/                   phases, smdebug's timeline form
        framework/torch_profiler/            torch.profiler's traces, NODE.operators.json
    output/data/debugger/rules.json          what live rules have found
    output/data/debugger/report.html, report.json

A debughookconfig.json or profilerconfig.json that SageMaker wrote moves tensors and metrics to the
paths that it names, as it uploads them from there.
"""

from __future__ import annotations

from pathlib import Path

from byoc import contract

DEBUGGER = "debugger"
FACTS = "facts.json"
TENSORS = "tensors"
PROFILER = "profiler-output"
SYSTEM, FRAMEWORK = "system", "framework"
INCREMENTAL, PEVENTS, TORCH_PROFILER = "incremental", "pevents", "torch_profiler"
OPERATORS = "operators.json"
RULES = "rules.json"
REPORT_HTML, REPORT_JSON = "report.html", "report.json"
HISTORY = "metrics.jsonl"


def debugger_dir() -> Path:
    return contract.output_data_dir() / DEBUGGER
