"""A job's log on CloudWatch, new lines at each call."""

from __future__ import annotations

from typing import Any

TRAINING = "/aws/sagemaker/TrainingJobs"
TRANSFORM = "/aws/sagemaker/TransformJobs"


class CloudWatchLog:
    """The streams NAME/… of a group, one for each host."""

    def __init__(self, logs: Any, group: str, name: str) -> None:
        self._logs, self._group, self._prefix = logs, group, f"{name}/"
        self._tokens: dict[str, str] = {}

    def lines(self) -> list[str]:
        """Lines since the last call; of several hosts, each begins with the host's name."""
        streams = self._streams()
        found = []
        for stream in streams:
            host = stream.removeprefix(self._prefix).rpartition("-")[0]
            said = self._new(stream)
            found += [f"{host}: {it}" for it in said] if len(streams) > 1 else said
        return found

    def _streams(self) -> list[str]:
        """Empty until the container has begun to speak."""
        names: list[str] = []
        page: dict[str, str] = {}
        while True:
            try:
                answer = self._logs.describe_log_streams(
                    logGroupName=self._group, logStreamNamePrefix=self._prefix, **page
                )
            except self._logs.exceptions.ResourceNotFoundException:
                return []
            names += [it["logStreamName"] for it in answer["logStreams"]]
            if not answer.get("nextToken"):
                return sorted(names)
            page = {"nextToken": answer["nextToken"]}

    def _new(self, stream: str) -> list[str]:
        found: list[str] = []
        while True:
            token = self._tokens.get(stream)
            answer = self._logs.get_log_events(
                logGroupName=self._group,
                logStreamName=stream,
                startFromHead=True,
                **({"nextToken": token} if token else {}),
            )
            for event in answer["events"]:
                # Progress bars overwrite their line: only what stood there last is of interest.
                found.append(event["message"].rstrip("\r\n").split("\r")[-1])
            self._tokens[stream] = answer["nextForwardToken"]
            if answer["nextForwardToken"] == token or not answer["events"]:
                return found
