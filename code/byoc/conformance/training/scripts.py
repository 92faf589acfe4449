"""Script mode: the user's own program in the image, T08 and T16."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from byoc.conformance.clauses import clause
from byoc.conformance.contents import files_of
from byoc.conformance.image import Image
from byoc.conformance.job import Ended, Setting, lay_out, run
from byoc.conformance.outcome import Findings, NotApplicable
from byoc.conformance.training.judging import expect_success
from byoc.conformance.tree import Tree, read_json

CHANNEL = "code"
PROGRAM = "entry.py"
EXTRA = {"alpha": "0.5", "text-of-mine": "two words", "_underscored": "1"}
"""Hyperparameters that only the script knows."""

USER_VARIABLES = {f"BYOC_CHECK_{number:02d}": f'value {number} "é"' for number in range(100)}

_SEEN = "seen.json"

_REPORT = f"""
import json, os, sys
from package_of_mine.greeting import GREETING

print(GREETING, flush=True)
seen = {{"arguments": sys.argv[1:], "variables": dict(os.environ), "folder": os.getcwd()}}
with open("/opt/ml/model/{_SEEN}", "w") as stream:
    json.dump(seen, stream)
"""

_EXPECTED = (
    "SM_HOSTS",
    "SM_CURRENT_HOST",
    "SM_NETWORK_INTERFACE_NAME",
    "SM_RESOURCE_CONFIG",
    "SM_INPUT_DATA_CONFIG",
    "SM_INPUT_DIR",
    "SM_INPUT_CONFIG_DIR",
    "SM_OUTPUT_DIR",
    "SM_OUTPUT_DATA_DIR",
    "SM_MODEL_DIR",
    "SM_CHANNELS",
    "SM_HPS",
    "SM_NUM_CPUS",
    "SM_NUM_GPUS",
    "SM_LOG_LEVEL",
    "SM_TRAINING_ENV",
    "SM_USER_ARGS",
    "SM_MODULE_DIR",
    "SM_MODULE_NAME",
    "SM_USER_ENTRY_POINT",
    "SM_FRAMEWORK_PARAMS",
)
"""What the training toolkit's documentation lists for every script."""


@dataclass(frozen=True)
class Seen:
    """What the user's script saw; empty where it never ran."""

    ended: Ended
    arguments: list[str]
    variables: dict[str, str]


def script_run(image: Image) -> Seen:
    """A script that reports its arguments and its environment."""
    return image.once("script run", lambda: _report(image))


def _report(image: Image) -> Seen:
    tree = script_tree(image, _REPORT, EXTRA)
    ended = run(image, tree, Setting(environment=USER_VARIABLES))
    seen = read_json(tree.model / _SEEN) or {}
    return Seen(ended, seen.get("arguments", []), seen.get("variables", {}))


def script_tree(image: Image, program: str, extra: Mapping[str, str] | None = None) -> Tree:
    """A tree for a job that runs ``program``, with a package beside it, from the channel code."""
    folder = image.engine.folder("code")
    package = folder / "package_of_mine"
    package.mkdir()
    (folder / PROGRAM).write_text(program, encoding="utf-8")
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "greeting.py").write_text("GREETING = 'hello from the script'\n", encoding="utf-8")
    script = {
        "sagemaker_program": PROGRAM,
        "sagemaker_submit_directory": f"/opt/ml/input/data/{CHANNEL}",
        **(extra or {}),
    }
    tree = lay_out(image, channels={**image.workload.channels, CHANNEL: folder})
    tree.write_config("hyperparameters.json", script)
    return tree


def need_script_mode(image: Image) -> None:
    """Raises ``NotApplicable`` where the image neither promises it nor has the toolkit."""
    toolkit = any("sagemaker_training/entry_point.py" in path for path in files_of(image))
    if not (image.workload.has_script_mode or toolkit):
        raise NotApplicable("no script mode: sagemaker-training is not in the image")


@clause("T08")
def environment(image: Image) -> str:
    """SM_* variables, TRAINING_JOB_NAME and 100 user variables reach the code.

    How: a user's script reports its environment.
    Remedy: use sagemaker-training's Environment().to_env_vars(), and start processes with the
    container's own environment.
    AWS: SageMaker Training Toolkit, environment variables; CreateTrainingJob, Environment
    """
    need_script_mode(image)
    findings = Findings()
    seen = script_run(image)
    if not expect_success(findings, seen.ended, "script"):
        return findings.seen()
    wanted = [*_EXPECTED, f"SM_CHANNEL_{CHANNEL.upper()}", "SM_HP_ALPHA", "TRAINING_JOB_NAME"]
    missing = [name for name in wanted if name not in seen.variables]
    findings.expect(not missing, f"not set: {', '.join(missing)}", f"{len(wanted)} names are set")
    odd = [name for name, it in USER_VARIABLES.items() if seen.variables.get(name) != it]
    findings.expect(
        not odd, f"user variables lost or changed: {', '.join(odd[:3])}", "100 user variables"
    )
    given = {"SM_CURRENT_HOST": "algo-1", "SM_MODEL_DIR": "/opt/ml/model"}
    for name, value in given.items():
        found = seen.variables.get(name)
        findings.expect(found == value, f"{name} is {found!r}, not {value!r}")
    return findings.seen()


@clause("T16")
def script_mode(image: Image) -> str:
    """A user's entry script and source directory run, with hyperparameters as arguments.

    How: a script that imports a package beside it, from a folder in a channel, with
    hyperparameters that only it knows; a script that is not there must fail the job.
    Remedy: hand sagemaker_program and sagemaker_submit_directory to sagemaker-training's
    entry_point.run.
    AWS: SageMaker Training Toolkit, script mode
    """
    need_script_mode(image)
    findings = Findings()
    seen = script_run(image)
    expect_success(findings, seen.ended, "script with a package beside it")
    pairs = dict(zip(seen.arguments[::2], seen.arguments[1::2], strict=False))
    odd = [name for name, value in EXTRA.items() if pairs.get(f"--{name}") != value]
    findings.expect(
        not odd, f"arguments are {seen.arguments}: without {odd}", f"arguments {seen.arguments}"
    )
    tree = script_tree(image, "")
    (tree.channels[CHANNEL] / PROGRAM).unlink()
    missing = run(image, tree)
    findings.expect(
        missing.code != 0 and bool(missing.failure),
        f"a script that is not there: exit {missing.code}, output/failure {missing.failure!r}",
        "a script that is not there fails the job",
    )
    return findings.seen()
