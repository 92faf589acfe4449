"""docs/clauses.md: the catalogue of clauses, written from their docstrings.

``python -m byoc.conformance.clauses_page > docs/clauses.md``
"""

from __future__ import annotations

from byoc.conformance.clauses import Clause, catalogue

_HEAD = """# The clauses

SageMaker's container contract, clause by clause: what is asked, how `byoc check` tries it, the
usual remedy, and the page of AWS's documentation. Written from the checks' own docstrings by
`python -m byoc.conformance.clauses_page > docs/clauses.md`; change them there.
"""

FAMILIES = {
    "I": "Image",
    "T": "Training",
    "H": "Hosting",
    "M": "Multi-model endpoint",
    "B": "Batch transform",
}


def text() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_family(letter, it) for letter, it in FAMILIES.items())])


def _family(letter: str, title: str) -> str:
    clauses = [it for it in catalogue() if it.id[0] == letter]
    table = [f"| [{it.id}](#{it.id.lower()}) | {_cell(it.asked)} |" for it in clauses]
    lines = [f"## {title}", "", "| id | asked |", "| --- | --- |", *table, ""]
    return "\n".join([*lines, *map(_entry, clauses)])


def _entry(clause: Clause) -> str:
    return (
        f"### {clause.id}\n\n{clause.asked}\n\n"
        f"- How: {clause.how}\n- Remedy: {clause.remedy}\n- AWS: {clause.page}\n"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(text(), end="")
