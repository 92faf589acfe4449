"""table.py FOLDER: the rows that check.sh left there as the table of docs/conformance.md."""

import json
import sys
from pathlib import Path

IMAGES = ("script-mode", "model-server", "flask", "mlflow")
CELLS = {"pass": "pass", "fail": "**fail**", "not applicable": "n/a", "not tried": "not tried"}


def table(folder: Path) -> str:
    """A row for each clause, a column for each image; empty where its part was not tried."""
    verdicts: dict[str, dict[str, str]] = {}
    for image in IMAGES:
        report = json.loads((folder / f"{image}.json").read_text(encoding="utf-8"))
        for clause in report["clauses"]:
            verdicts.setdefault(clause["id"], {})[image] = CELLS[clause["verdict"]]
    order = sorted(verdicts, key=lambda name: ("ITHMB".index(name[0]), name))
    lines = [f"| clause | {' | '.join(IMAGES)} |", f"| --- |{' --- |' * len(IMAGES)}"]
    for name in order:
        lines.append(f"| {name} | {' | '.join(verdicts[name].get(it, '') for it in IMAGES)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
