"""What happens when a rule fires while a job runs: hyperparameter ``debug-actions``.

Actions with semicolons between them, each done once for each rule, when it first fires:

| action | what it does |
| --- | --- |
| report | a line on the log; rules.json and the report have it anyway |
| stop | StopTrainingJob on SageMaker where the role allows it, so that the job ends as Stopped; anywhere else training ends after this step, with its model saved and exit code 0 |
| command: LINE | runs LINE, which is all the rest, by /bin/sh, with BYOC_RULE, BYOC_JOB and BYOC_FINDING set |
| sns: ARN | publishes to that topic |
| email: ADDRESS | as SageMaker's own action: by a topic of ours, which asks the address first |

No failure of an action ends training: it is a line on the log.
"""  # noqa: E501

from __future__ import annotations

import hashlib
import os
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from byoc.debugger.findings import Finding

KINDS = ("report", "stop", "command", "sns", "email")
_WITH_TARGET = ("command", "sns", "email")

COMMAND_SECONDS = 60.0
FINISH_SECONDS = 15.0
"""How long the end of the job waits for what is still under way."""
SUBJECT = 100
"""Characters of a subject that SNS takes."""


class ActionError(ValueError):
    """A text that is none of the actions; the message is one line."""


@dataclass(frozen=True)
class Action:
    kind: str
    target: str = ""


def parse(text: str) -> tuple[Action, ...]:
    """The actions of ``debug-actions``; raises ``ActionError``."""
    found = []
    for part in _parts(text):
        kind, _, target = (word.strip() for word in part.partition(":"))
        if kind not in KINDS:
            raise ActionError(f"{kind!r} is no action: choose of {', '.join(KINDS)}")
        if (kind in _WITH_TARGET) != bool(target):
            what = "needs something after its colon" if kind in _WITH_TARGET else "takes nothing"
            raise ActionError(f"action {kind} {what}")
        if kind == "sns" and len(target.split(":")) != 6:
            raise ActionError(f"sns: {target!r} is not a topic's ARN")
        if kind == "email" and "@" not in target:
            raise ActionError(f"email: {target!r} is not an address")
        found.append(Action(kind, target))
    return tuple(found)


def _parts(text: str) -> Iterator[str]:
    """A command comes last: it may have semicolons of its own."""
    rest = text.strip()
    while rest:
        if rest.startswith("command"):
            part, rest = rest, ""
        else:
            part, _, rest = (word.strip() for word in rest.partition(";"))
        if part:
            yield part


class Actions:
    """``end_training`` is called with the rule's name by the action stop, where SageMaker does not
    stop the job. What may take long is done in a thread; ``finish`` waits for it."""

    def __init__(self, actions: tuple[Action, ...], end_training: Callable[[str], None]) -> None:
        self._actions, self._end_training = actions, end_training
        self._seen: set[str] = set()
        self._waiting: queue.Queue[tuple[Action, Finding] | None] = queue.Queue()
        self._thread: threading.Thread | None = None

    def take(self, findings: list[Finding], *, is_over: bool = False) -> None:
        """``is_over``: the job has done its work, so that nothing is to be stopped any more."""
        for finding in findings:
            if finding.rule in self._seen:
                continue
            self._seen.add(finding.rule)
            for action in self._actions:
                if action.kind == "report":
                    print(told(finding), flush=True)
                elif action.kind == "stop" and is_over:
                    continue
                elif action.kind == "stop" and not os.environ.get("TRAINING_JOB_ARN"):
                    self._end_training(finding.rule)  # at this step, not at one of the next
                else:
                    self._start()
                    self._waiting.put((action, finding))

    def finish(self) -> None:
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(FINISH_SECONDS)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True, name="debug-actions")
            self._thread.start()

    def _work(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            action, finding = waiting
            try:
                self._do(action, finding)
            except Exception as error:
                said = " ".join(str(error).split())[:300]
                print(f"debugging: action {action.kind} failed: {said}", flush=True)

    def _do(self, action: Action, finding: Finding) -> None:
        if action.kind == "stop":
            self._stop(finding)
        elif action.kind == "command":
            _command(action.target, finding)
        elif action.kind == "sns":
            _publish(_client("sns", action.target.split(":")[3]), action.target, finding)
        elif action.kind == "email":
            _email(action.target, finding)

    def _stop(self, finding: Finding) -> None:
        try:
            _client("sagemaker").stop_training_job(TrainingJobName=job_name())
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            print(f"debugging: no StopTrainingJob ({said}): training ends by itself", flush=True)
            self._end_training(finding.rule)
        else:
            print(f"debugging: {finding.rule} has stopped the job", flush=True)


def job_name() -> str:
    return os.environ.get("TRAINING_JOB_NAME", "")


def told(finding: Finding) -> str:
    """One line for the log."""
    where = f" at step {finding.step}" if finding.step is not None else ""
    mode = f" ({finding.mode})" if finding.mode and where else ""
    return f"rule {finding.rule} fired{where}{mode}: {finding.what} {finding.advice}".strip()


def _command(line: str, finding: Finding) -> None:
    names = {"BYOC_RULE": finding.rule, "BYOC_JOB": job_name(), "BYOC_FINDING": told(finding)}
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        env={**os.environ, **names},
        stdin=subprocess.DEVNULL,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{line!r} ended with exit code {done.returncode}")


def _email(address: str, finding: Finding) -> None:
    """A topic for each address: who watches one job is told of no other."""
    client = _client("sns")
    name = "byoc-debugger-" + hashlib.sha256(address.encode()).hexdigest()[:16]
    topic = client.create_topic(Name=name)["TopicArn"]
    # Asks the address for its consent where it has not given it yet.
    client.subscribe(TopicArn=topic, Protocol="email", Endpoint=address)
    _publish(client, topic, finding)


def _publish(client: Any, topic: str, finding: Finding) -> None:
    subject = f"rule {finding.rule} fired in {job_name() or 'a training job'}"
    client.publish(TopicArn=topic, Subject=subject[:SUBJECT], Message=told(finding))


def _client(service: str, region: str | None = None) -> Any:
    """Gives up soon: a job without a network would wait for minutes."""
    import boto3
    from botocore.config import Config

    limits = Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 1})
    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return boto3.client(service, region_name=region, config=limits)
