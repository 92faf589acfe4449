"""The outcomes of one check as one HTML file that needs nothing else."""

from __future__ import annotations

from html import escape

from byoc.conformance.clauses_page import FAMILIES
from byoc.conformance.outcome import Outcome, Verdict
from byoc.conformance.report import Report, plain

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --dim: #5c6370; --paper: #fff; --line: #dfe2e6;
  --pass: #1a7f37; --fail: #c62828; --other: #6a6f78; --soft: #fdecea; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --dim: #9aa0ab; --paper: #16181c;
  --line: #33373e; --pass: #57c271; --fail: #ff7b72; --other: #9aa0ab; --soft: #2e1b1b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 76rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .3rem 0; } .dim { color: var(--dim); }
.sum { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; margin: 1rem 0; padding: 0;
  list-style: none; } .sum b { font-size: 1.3rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem .75rem .5rem 0;
  border-top: 1px solid var(--line); }
th { font-weight: 600; } td.id, td.took { white-space: nowrap; }
td.took { text-align: right; font-variant-numeric: tabular-nums; }
tr.fail { background: var(--soft); } .verdict { white-space: nowrap; font-weight: 600; }
.pass .verdict { color: var(--pass); } .fail .verdict { color: var(--fail); }
.other .verdict { color: var(--other); }
@media (max-width: 44rem) { body { padding: 1rem; } thead { display: none; }
  tr { display: block; border-top: 1px solid var(--line); padding: .5rem 0; }
  td { display: block; border: 0; padding: .1rem 0; }
  td.id, td.took, td.verdict { display: inline-block; margin-right: 1rem; text-align: left; } }
"""


def to_html(report: Report) -> str:
    """For people: what failed first in each section's table stands out by colour and by word."""
    counts = "".join(
        f"<li><b>{count}</b> {escape(verdict)}</li>" for verdict, count in report.counts.items()
    )
    parts = "; ".join(f"{part} ({why})" for part, why in report.parts.items())
    sections = "".join(
        _section(title, [it for it in report.outcomes if it.id[0] == letter])
        for letter, title in FAMILIES.items()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>byoc check {escape(report.image)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Does {escape(report.image)} keep SageMaker's container contract?</h1>
<p class="dim">{escape(report.image_id)}<br>
{report.started:%Y-%m-%d %H:%M} · {report.seconds:.0f} s · tried: {escape(parts) or "the image"}</p>
<ul class="sum">{counts}</ul>
{sections}</body>
</html>
"""


def _section(title: str, outcomes: list[Outcome]) -> str:
    if not outcomes:
        return ""
    rows = "".join(map(_row, outcomes))
    return f"""<h2>{title}</h2>
<table>
<thead><tr><th>Clause</th><th>Verdict</th><th>Time</th><th>What is asked, what was seen</th></tr>
</thead>
<tbody>
{rows}</tbody>
</table>
"""


def _row(outcome: Outcome) -> str:
    kind = outcome.verdict.value
    kind = kind if outcome.verdict in (Verdict.PASS, Verdict.FAIL) else "other"
    texts = [f"<p>{escape(outcome.asked)}</p>"]
    if outcome.cause:
        texts.append(f"<p><b>Cause:</b> {escape(plain(outcome.cause))}</p>")
    if outcome.seen:
        texts.append(f'<p class="dim">{escape(plain(outcome.seen))}</p>')
    if outcome.verdict is Verdict.FAIL:
        texts.append(f"<p><b>Usual remedy:</b> {escape(outcome.remedy)}</p>")
        texts.append(f"<p>AWS: {escape(outcome.page)}</p>")
    return (
        f'<tr class="{kind}" id="{outcome.id}"><td class="id">{outcome.id}</td>'
        f'<td class="verdict">{escape(outcome.verdict.value)}</td>'
        f'<td class="took">{outcome.seconds:.1f} s</td><td>{"".join(texts)}</td></tr>\n'
    )
