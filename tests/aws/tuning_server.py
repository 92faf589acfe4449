"""SageMaker's tuning operations, which moto has in part only; requests are held against botocore's
model of the API, and answers too."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.validate import ParamValidator

from api_model import faults, operation

ARN = "arn:aws:sagemaker:eu-central-1:123456789012"


class Tunings:
    """Each description finds the tuning one step further; a stop is obeyed at the next."""

    def __init__(self, jobs: list[dict[str, Any]]) -> None:
        self.jobs, self.requests, self.calls = jobs, {}, []
        self._described = 0
        self._stopped = False

    def answer(self, name: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.calls.append(name)
        said = faults(name, request)
        if said:
            return 400, {"__type": "ValidationException", "message": "; ".join(said)}
        found = getattr(self, f"_{name}")(request)
        shape = operation(name).output_shape
        if found is None:
            return 400, {"__type": "ResourceNotFound", "message": "there is no such tuning"}
        assert shape is None or not ParamValidator().validate(found, shape).has_errors()
        return 200, found

    def _CreateHyperParameterTuningJob(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = request["HyperParameterTuningJobName"]
        self.requests[name] = request
        return {"HyperParameterTuningJobArn": f"{ARN}:hyper-parameter-tuning-job/{name}"}

    def _StopHyperParameterTuningJob(self, _request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self._stopped = True
        return {}

    def _DescribeHyperParameterTuningJob(  # noqa: N802
        self, request: dict[str, Any]
    ) -> dict[str, Any] | None:
        known = self.requests.get(request["HyperParameterTuningJobName"])
        if known is None:
            return None
        self._described += 1
        over = self._described >= len(self.jobs)
        status = "Stopped" if self._stopped else "Completed" if over else "InProgress"
        return {
            **known,
            "HyperParameterTuningJobArn": f"{ARN}:hyper-parameter-tuning-job/x",
            "HyperParameterTuningJobStatus": status,
            "CreationTime": 1.8e9,
            "TrainingJobStatusCounters": {},
            "ObjectiveStatusCounters": {},
        }

    def _ListTrainingJobsForHyperParameterTuningJob(  # noqa: N802
        self, request: dict[str, Any]
    ) -> dict[str, Any]:
        """A page holds two."""
        start = int(request.get("NextToken", 0))
        there = self.jobs[: max(1, self._described)]
        more = {"NextToken": str(start + 2)} if start + 2 < len(there) else {}
        return {"TrainingJobSummaries": there[start : start + 2], **more}


def job(number: int, status: str, value: float | None = None, **more: Any) -> dict[str, Any]:
    """A TrainingJobSummary."""
    name = f"t-{number:03d}-0a1b2c3d"
    metric = {"MetricName": "val_loss", "Value": value}
    objective = {"FinalHyperParameterTuningJobObjectiveMetric": metric} if value is not None else {}
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"{ARN}:training-job/{name}",
        "CreationTime": 1.8e9 + number,
        "TrainingStartTime": 1.8e9,
        "TrainingEndTime": 1.8e9 + 3600,
        "TrainingJobStatus": status,
        "TunedHyperParameters": {"lr": "0.0001", "batch-size": '"16"', "max-length": "128"},
        "ObjectiveStatus": "Succeeded" if objective else "Failed",
        **objective,
        **more,
    }


@contextmanager
def serving(tunings: Tunings) -> Iterator[str]:
    """The address of the server."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            name = self.headers["X-Amz-Target"].removeprefix("SageMaker.")
            code, found = tunings.answer(name, json.loads(self.rfile.read(size)))
            body = json.dumps(found).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
