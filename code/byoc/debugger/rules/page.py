"""docs/debugger-rules.md, from the registry: `python -m byoc.debugger.rules.page` writes it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from byoc.debugger.rules.parameters import Parameter
from byoc.debugger.rules.registry import PROFILER_RULES, RULES, TENSOR_RULES

PAGE = Path("docs/debugger-rules.md")
HEAD = """# Rules of a debugged job

SageMaker Debugger's built-in rules only ever ran in AWS's own image. These are rules of the same
names, to run anywhere: in the job (`debug=true`, see [debugging](debugging.md)), and over any
job's output, also one that SageMaker Debugger wrote:

```
byoc debug rules out/JOB/output
byoc debug rules s3://bucket/job/output --set aws --rule LossNotDecreasing \\
    --parameter LossNotDecreasing.num_steps=50
byoc debug rules out/JOB/output --rule my_rules.py:LossTooHigh --parameter LossTooHigh.bound=2
```

It prints a row for each rule and exits 0 where none fired, 3 where some did. A rule that finds
nothing to look at is *not evaluated*, with the reason.

There are two sets of defaults. `aws` has AWS's (the page debugger-built-in-rules, text of
February 2023). `recommended`, the default, has ours: a healthy fine-tuning is not to trip it. Some
AWS rules look at nothing until tensors are named (`collection_names`, `tensor_regex`). AWS never
published the rules' code; under each rule stands what AWS's text says and what we chose where it is
silent. `make test-debugger` trains jobs with planted faults and healthy ones, and prints how often
each rule was right: [the table](debugger-truth.md).

A rule of your own is a class in a file: smdebug's `Rule` (its constructor takes the trial first),
or `TensorRule` of `byoc.debugger.rules.base` or `ProfilerRule` of `byoc.debugger.rules.profiler`,
whose findings carry numbers and advice:

```python
from smdebug.rules.rule import Rule


class LossTooHigh(Rule):
    def __init__(self, base_trial, bound=1.0):
        super().__init__(base_trial, action_str="")
        self.bound = bound

    def invoke_at_step(self, step):
        names = self.base_trial.tensor_names(step=step, collection="losses")
        return any(self.base_trial.tensor(name).value(step) > self.bound for name in names)
```
"""


def text() -> str:
    parts = [HEAD, _overview("Over tensors", TENSOR_RULES)]
    parts.append(_overview("Over system metrics and phases", PROFILER_RULES))
    parts += [_rule(name, rule) for name, rule in RULES.items()]
    return "\n".join(parts)


def _overview(title: str, rules: Iterable[type[Any]]) -> str:
    lines = [f"## {title}", "", "| rule | |", "| --- | --- |"]
    for rule in rules:
        first = _prose(rule).split("\n\n")[0].replace("\n", " ")
        lines.append(f"| [{rule.__name__}](#{rule.__name__.lower()}) | {first} |")
    return "\n".join([*lines, ""])


def _rule(name: str, rule: type[Any]) -> str:
    lines = [f"## {name}", "", _prose(rule), ""]
    if rule.parameters:
        lines += ["| parameter | aws | recommended | |", "| --- | --- | --- | --- |"]
        lines += [_row(parameter) for parameter in rule.parameters]
        lines.append("")
    return "\n".join(lines)


def _prose(rule: type[Any]) -> str:
    return inspect.cleandoc(rule.__doc__ or "").replace("``", "`")


def _row(parameter: Parameter) -> str:
    cells = [_value(parameter.default("aws")), _value(parameter.default("recommended"))]
    ours = " (ours)" if parameter.ours else ""
    return f"| `{parameter.name}`{ours} | {cells[0]} | {cells[1]} | {parameter.text} |"


def _value(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, tuple):
        value = ", ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in value)
    if isinstance(value, float):
        value = f"{value:g}"
    return f"`{value}`".replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
