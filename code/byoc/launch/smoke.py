"""The smoke test of images before a push: ``python -m byoc.launch.smoke …``.

``prepare DIR`` lays out an /opt/ml tree with a little embedded data, ``check-model DIR`` looks at
what training left, ``probe CONTAINER URL`` waits for /ping and makes one invocation.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import requests

from byoc.corpus import EMBEDDED_HYPERPARAMETERS, write_corpus

SIZE = 1200
"""Sentences: enough for a few steps; what is learned does not matter here."""

MODEL_FILES = ("config.json", "model.safetensors", "metrics.json")
SENTENCE = "The children laugh."


def prepare(tree: Path) -> None:
    """Writes input/config and the channels train and validation under ``tree``."""
    write_corpus(tree / "input" / "data", size=SIZE)
    channels = {name: {"TrainingInputMode": "File"} for name in ("train", "validation")}
    hosts = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
    files = {
        "hyperparameters": EMBEDDED_HYPERPARAMETERS | {"epochs": "1"},
        "inputdataconfig": channels,
        "resourceconfig": hosts,
    }
    config = tree / "input" / "config"
    config.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (config / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    for folder in ("model", "output/data"):
        (tree / folder).mkdir(parents=True, exist_ok=True)


def check_model(folder: Path) -> str | None:
    """What training should have left in ``folder`` and did not, or None."""
    missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
    return f"training ended without {', '.join(missing)}" if missing else None


def probe(container: str, url: str, timeout_s: float = 120) -> str | None:
    """Why the server at ``url`` does not serve, or None: /ping 200, then one invocation.

    ``container`` is the one that it runs in: once that has ended, waiting is over.
    """
    session = requests.Session()
    session.trust_env = False  # the container is on this machine: no proxy between
    deadline = time.monotonic() + timeout_s
    while not _healthy(session, url):
        if not _runs(container):
            return "the container ended before /ping answered 200"
        if time.monotonic() > deadline:
            return f"/ping did not answer 200 within {timeout_s:.0f} s"
        time.sleep(0.2)
    try:
        reply = session.post(f"{url}/invocations", json={"inputs": SENTENCE}, timeout=60)
    except requests.RequestException as error:
        return f"/invocations did not answer: {error}"
    if reply.status_code != 200:
        return f"/invocations answered {reply.status_code}"
    return prediction_fault(reply.text)


def prediction_fault(text: str) -> str | None:
    """Why ``text`` is not one prediction for one sentence, or None."""
    try:
        (answer,) = json.loads(text)
        score = float(answer["score"])
        if isinstance(answer["label"], str) and 0 <= score <= 1:
            return None
    except (ValueError, KeyError, TypeError):
        pass
    return f"/invocations answered {text[:200]!r}, not a list with one label and score"


def _healthy(session: requests.Session, url: str) -> bool:
    try:
        return session.get(f"{url}/ping", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def _runs(container: str) -> bool:
    command = ["docker", "inspect", "--format", "{{.State.Running}}", container]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() == "true"


def main(arguments: list[str]) -> int:
    match arguments:
        case ["prepare", folder]:
            prepare(Path(folder))
            fault = None
        case ["check-model", folder]:
            fault = check_model(Path(folder))
        case ["probe", container, url]:
            fault = probe(container, url)
        case _:
            fault = "usage: prepare DIR | check-model DIR | probe CONTAINER URL"
    if fault:
        print(f"smoke: {fault}", file=sys.stderr)
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
