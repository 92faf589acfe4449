"""Images that break the contract on purpose, and the clauses that each declares to break.

All are derived in a moment from one image of two small programs (tests/contract/small).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from byoc.conformance.hosting import Hosting, Message
from byoc.conformance.workload import Workload

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REPOSITORY = f"byoc-small-{os.getpid()}"
"""Of this process alone: another one's tests may run beside it."""
GOOD = f"{REPOSITORY}:good"
TRAINING, SERVING = "training", "serving"


@dataclass(frozen=True)
class Broken:
    """``breaks``: what the programs' BREAKS names; ``lines``: of its Dockerfile."""

    name: str
    part: str
    clauses: frozenset[str]
    breaks: str = ""
    lines: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def image(self) -> str:
        return f"{REPOSITORY}:{self.part}-{self.name}"


def _training(name: str, clauses: str, *lines: str, breaks: str | None = None) -> Broken:
    told = (name if breaks is None else breaks) if not lines or breaks else ""
    return Broken(name, TRAINING, frozenset(clauses.split()), told, lines)


def _serving(
    name: str, clauses: str, *lines: str, environment: Mapping[str, str] | None = None
) -> Broken:
    told = "" if lines else name
    return Broken(name, SERVING, frozenset(clauses.split()), told, lines, environment or {})


_FAILURES = "T04 T06 T10 T11"
_TRAINS_NOT = "T01 T02 T03 T04 T05 T06 T07 T08 T09 T10 T11 T12 T13 T14 T15 T16 T18 T19"
_NEEDS_A_QUICK_START = "H01 H03 H04 H05 H06 H07 H09 H12 H13 H14 H15 B02 B03"

BROKEN = (
    _training("good", ""),
    # I
    _training("under-opt-ml", "I02", "RUN mkdir -p /opt/ml/code && touch /opt/ml/code/notes.txt"),
    _training("secret", "I02", "ENV AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"),
    # T
    _training("no-command", "T01", 'CMD ["true"]'),
    _training("swallows-commands", "T01", 'ENTRYPOINT ["/usr/local/bin/train"]'),
    _training("shell-form", "T02", "CMD train"),
    _training("sigterm-unheard", "T02 T12"),
    _training(
        "needs-opt-ml",
        f"{_TRAINS_NOT} I02",
        "RUN mkdir -p /opt/ml/program && echo '{}' > /opt/ml/program/settings.json",
        breaks="needs-opt-ml",
    ),
    _training("plain-values-only", "T04"),
    _training("platform-names-kept", "T04"),
    _training("unknown-accepted", "T04"),
    _training("flat-channels", "T05"),
    _training("pipe-unnoticed", "T06"),
    _training("hosts-hard-coded", "T07 T19"),
    _training("no-retry", "T07 T19"),
    _training("clean-environment", "T08"),
    _training("link-in-model", "T09"),
    _training("scripts-exit-unnoticed", "T10"),
    _training("no-failure-file", f"{_FAILURES} T16 T19"),
    _training("traceback-first", _FAILURES),
    _training("fails-with-0", f"{_FAILURES} T16 T19"),
    _training("full-disk-unnoticed", "T11"),
    _training("stops-with-0", "T12"),
    _training("stops-without-model", "T12"),
    _training("signal-kept-from-script", "T12"),
    _training("torn-checkpoints", "T13"),
    _training("torn-accepted", "T13"),
    _training("never-resumes", "T13 T18"),
    _training("no-checkpoints", "T12 T13 T18"),
    _training("downloads", "T14"),
    _training("odd-metrics", "T15"),
    _training("script-alone", "T04 T08 T16"),
    _training("arguments-lost", "T04 T16"),
    _training("driver-in-image", "T17", "RUN touch /usr/lib/libcuda.so.1"),
    _training("no-gpu-variables", "T17", "ENV NVIDIA_VISIBLE_DEVICES="),
    _training("deaf-to-deaths", "T19"),
    # H
    _serving("good", ""),
    _serving("shell-form", "H01", "CMD serve"),
    _serving("deaf-to-sigterm", "H01 H09"),
    _serving("stops-with-143", "H01 H09"),
    _serving("port-fixed", "H02"),
    _serving("second-port", "H02"),
    _serving("healthy-at-once", _NEEDS_A_QUICK_START, environment={"LOAD_SECONDS": "3"}),
    _serving("ping-waits", "H03"),
    _serving("answers-cut-at-20-s", "H04"),
    _serving("odd-headers-refused", "H05"),
    _serving("five-megabytes", "H06 B03"),
    _serving("no-limit", "H06"),
    _serving("tracebacks-told", "H07"),
    _serving("any-type-taken", "H07"),
    _serving("serves-nothing", "H08"),
    _serving("drops-what-is-in-flight", "H09"),
    _serving("dead-stay-dead", "H03 H10"),
    _serving("workers-fixed", "H10 H11"),
    _serving("no-timeout", "H03 H11"),
    _serving("downloads", "H12"),
    _serving("writes-outside-tmp", "H13"),
    _serving("hosts-cores", "H14"),
    _serving("type-not-passed", "H15"),
    # M
    _serving("label-of-no", "M01", "LABEL com.amazonaws.sagemaker.capabilities.multi-models=no"),
    _serving("loads-twice", "M02"),
    _serving("missing-models-found", "M03"),
    _serving("memory-kept", "M02 M04"),
    _serving("names-split", "M05"),
    _serving("sick-without-models", "M06"),
    # B
    _serving("too-much-at-once", "B01"),
    _serving("lines-reordered", "B02"),
    _serving("batch-limit-fixed", "B03"),
)


def by_name(part: str, name: str) -> Broken:
    return next(it for it in BROKEN if (it.part, it.name) == (part, name))


def build_good() -> None:
    """The image that all others are derived from."""
    base = subprocess.run(
        [ROOT / "docker/base.sh"], check=True, capture_output=True, text=True
    ).stdout.strip()
    _build(["--build-arg", f"BASE_IMAGE={base}", "--network", "host", "small"], GOOD)


def build(broken: Broken) -> str:
    """The image's name, once it is there."""
    lines = [f"FROM {GOOD}"]
    if broken.part == SERVING:
        lines.append('CMD ["serve"]')
    variables = {"BREAKS": broken.breaks, **broken.environment}
    lines += [f"ENV {name}={value}" for name, value in variables.items() if value]
    _build(["-"], broken.image, "\n".join([*lines, *broken.lines]))
    return broken.image


def _build(words: list[str], tag: str, text: str | None = None) -> None:
    context = subprocess.run(["docker", "context", "show"], capture_output=True, text=True)
    done = subprocess.run(
        ["docker", "buildx", "build", "--load", "--quiet", "--provenance=false", "-t", tag, *words],
        cwd=HERE,
        input=text,
        capture_output=True,
        text=True,
        env={**os.environ, "BUILDX_BUILDER": context.stdout.strip()},
    )
    assert done.returncode == 0, done.stderr


def remove() -> None:
    """All of these images."""
    names = [it.image for it in BROKEN] + [GOOD]
    subprocess.run(["docker", "rmi", "--force", *names], capture_output=True)


def workload(broken: Broken, folder: Path) -> Workload:
    """What the image is tried with; ``folder`` is an empty one for data and a model."""
    data, model = folder / "training", folder / "model"
    data.mkdir()
    model.mkdir()
    rows = [f"{x / 100}\t{3 * x / 100 + 1}" for x in range(200)]
    (data / "rows.tsv").write_text("\n".join(["x\ty", *rows]) + "\n")
    (model / "model.json").write_text(json.dumps({"factor": 2.0, "padding": "x" * 100}))
    return Workload(
        channels={"training": data},
        hyperparameters={"epochs": "2"},
        longer={"epochs": "15"},
        wrong={"epochs": "many", "rate": "fast"},
        metrics={"loss": r"loss=(\S+);"},
        under_way="^epoch=2 ",
        resumed="^resuming from ",
        stop_seconds=20.0,
        stopped_codes=(143,),
        has_script_mode=True,
        trains_on_several_hosts=True,
        hosting=_hosting(model),
    )


def _hosting(model: Path) -> Hosting:
    return Hosting(
        model=model,
        message=Message(b'{"x": 2}'),
        bad=(
            (Message(b"{"), 400),
            (Message(b'{"x": "a"}'), 400),
            (Message(b"\x93NUMPY", "application/x-npy"), 415),
            (Message(b'{"x": 2}', accept="image/png"), 406),
        ),
        lines=(
            Message(b"1\nx\n3\n", "text/csv"),
            Message(b"1\n{\n3\n", "application/jsonlines"),
        ),
        takes_scripts=True,
    )
