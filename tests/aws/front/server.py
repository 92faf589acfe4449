"""The HTTP server in front of moto."""

from __future__ import annotations

import http.client
import http.server
import json
import threading
import time
from collections.abc import Callable

from botocore.validate import ParamValidator

from api_model import faults as model_faults
from api_model import operation
from front import calls, faults
from front.calls import Call
from front.faults import Fault
from front.lacking import LACKING, Refusal
from front.progress import KINDS, Fields, Progress

Answer = tuple[int, dict[str, str], bytes]

_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"}
_UNIQUE = {
    "CreateTrainingJob": "TrainingJob",
    "CreateTransformJob": "TransformJob",
    "CreateHyperParameterTuningJob": "HyperParameterTuningJob",
}
"""moto takes a second one of the same name without a word; AWS refuses it."""


class Front:
    """``address`` is what AWS_ENDPOINT_URL names. See the methods for what a test can ask of it."""

    def __init__(self, moto: tuple[str, int]) -> None:
        self._moto = moto
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"front": self})
        )
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.reset()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        """Forgets everything; moto's own state is not ours."""
        self.calls: list[Call] = []
        self.progress = Progress()
        self.trials: dict[str, list[Fields]] = {}
        """TrainingJobSummaries of a tuning by its name; "" stands for any."""
        self.answers: dict[str, Callable[[Call], Answer]] = {}
        """What a test answers itself, by operation."""
        self._faults: dict[str, list[tuple[int, Fault]]] = {}
        self._seen: dict[str, int] = {}

    def fail(self, operation: str, fault: Fault, *, at: int = 1, times: int = 1) -> None:
        """The ``at``-th call of ``operation`` from now on fails, and those after it, ``times`` in
        all. ``operation`` "*": any."""
        first = self._seen.get(operation, 0) + at
        planned = self._faults.setdefault(operation, [])
        planned += [(number, fault) for number in range(first, first + times)]

    def steps(self, kind: str, *steps: Fields, name: str = "") -> None:
        """Statuses of jobs, endpoints (``Endpoint``) or updates (``EndpointUpdate``) to come: each
        description finds the next."""
        self.progress.plan(kind, steps, name)

    def operations(self, service: str = "") -> list[str]:
        """The names of the operations that were called, in order."""
        return [it.operation for it in self.calls if service in ("", it.service)]

    def requests(self, operation: str) -> list[Fields]:
        """The parameters of each call of an operation."""
        return [it.request for it in self.calls if it.operation == operation]

    def ask_moto(self, call: Call, name: str, request: Fields) -> Fields:
        """moto's answer to another SageMaker call of the same caller; raises ``Refusal``."""
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"SageMaker.{name}",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={call.key}/20260101/{call.region}"
            "/sagemaker/aws4_request, SignedHeaders=host, Signature=0",
        }
        status, _, body = self._pass_on("POST", "/", headers, json.dumps(request).encode())
        found: Fields = json.loads(body)
        if status != 200:
            raise Refusal(found["__type"], found.get("message") or found.get("Message", ""))
        return found

    def handle(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> Answer | None:
        """The answer to a request; None: the connection is cut off."""
        if target.startswith("/moto-api"):
            return self._pass_on(method, target, headers, body)
        lower = {name.lower(): value for name, value in headers.items()}
        call = calls.read(method, target, lower, body)
        with self._lock:
            self.calls.append(call)
        fault = self._fault(call.operation)
        if fault and not fault.after:
            if not fault.status:
                return None
            return faults.render(call, fault.status, fault.code, fault.message)
        answer = self._answer(call, method, target, headers, body)
        if fault:
            time.sleep(fault.seconds)
            return answer if fault.status else None
        return answer

    def _fault(self, name: str) -> Fault | None:
        with self._lock:
            for key in (name, "*"):
                self._seen[key] = self._seen.get(key, 0) + 1
            for key in (name, "*"):
                for number, fault in self._faults.get(key, ()):
                    if number == self._seen[key]:
                        return fault
        return None

    def _answer(
        self, call: Call, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> Answer:
        if call.operation in self.answers:
            return self.answers[call.operation](call)
        if call.service != "sagemaker" or call.protocol != "json":
            return self._pass_on(method, target, headers, body)
        said = model_faults(call.operation, call.request)
        if said:
            return faults.render(call, 400, "ValidationException", "; ".join(said))
        try:
            if call.operation in LACKING:
                found = LACKING[call.operation](self, call)
                return _json(_checked(call.operation, found))
            self._refuse_second(call)
        except Refusal as refusal:
            return faults.render(call, 400, refusal.code, str(refusal))
        status, given, reply = self._pass_on(method, target, headers, body)
        if status != 200:
            return status, given, reply
        return self._with_progress(call, reply)

    def _refuse_second(self, call: Call) -> None:
        kind = _UNIQUE.get(call.operation)
        if kind and (kind, call.request[f"{kind}Name"]) in self.progress.things:
            raise Refusal(
                "ResourceInUse",
                f"{kind} names must be unique within an AWS account and region, and a {kind} with "
                f"this name already exists ({call.request[f'{kind}Name']})",
            )

    def _with_progress(self, call: Call, reply: bytes) -> Answer:
        found: Fields = json.loads(reply) if reply else {}
        verb, kind = _verb(call.operation)
        if verb == "Create":
            self.progress.created(kind, call.request)
        elif verb == "Delete":
            self.progress.deleted(kind, call.request[f"{kind}Name"])
        elif verb == "Describe":
            found = self.progress.described(kind, call.request[f"{kind}Name"], found)
        elif verb == "List":
            found = self.progress.listed(kind, found)
        return _json(found)

    def _pass_on(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(*self._moto, timeout=60)
        try:
            sent = {name: value for name, value in headers.items() if name.lower() not in _HOP}
            sent.pop("Expect", None)
            connection.request(method, target, body, {**sent, "Content-Length": str(len(body))})
            reply = connection.getresponse()
            content = reply.read()
            kept = {
                name: value
                for name, value in reply.getheaders()
                if name.lower() not in _HOP or (method == "HEAD" and name == "Content-Length")
            }
            return reply.status, kept, content
        finally:
            connection.close()


def _verb(name: str) -> tuple[str, str]:
    """("Describe", "TrainingJob") of DescribeTrainingJob; empty where it is nothing to us."""
    for verb in ("Create", "Delete", "Describe", "List"):
        kind = name.removeprefix(verb)
        kind = kind.removesuffix("s") if verb == "List" else kind
        if name.startswith(verb) and kind in KINDS:
            return verb, kind
    return "", ""


def _checked(name: str, found: Fields) -> Fields:
    """An answer of ours must be one that the API could give."""
    shape = operation(name).output_shape
    if shape is not None:
        report = ParamValidator().validate(found, shape)
        assert not report.has_errors(), report.generate_report()
    return found


def _json(found: Fields) -> Answer:
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(found).encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: Front

    def _handle(self) -> None:
        answer = self.front.handle(self.command, self.path, dict(self.headers), self._body())
        if answer is None:
            self.close_connection = True
            return
        status, headers, body = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return whole

    def log_message(self, *_: object) -> None:
        pass
