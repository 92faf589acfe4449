"""InvokeEndpoint over plain HTTP, for servers on this machine and for any URL."""

from __future__ import annotations

import http.client
import io
import urllib.error
import urllib.request
from typing import Any

from byoc.launch.errors import LaunchError
from byoc.launch.hosted import ENDPOINTS
from byoc.launch.state import Record

TIMEOUT = 60.0
"""Seconds; SageMaker cuts an invocation off after as many."""


class LocalRuntime:
    """boto3's runtime client for endpoints of this machine, found by their record's port."""

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        """Asks again where the endpoint has turned to another server meanwhile."""
        port = self._port(request["EndpointName"])
        while True:
            try:
                return post(f"http://127.0.0.1:{port}/invocations", request)
            except (Unreachable, Unavailable):
                now = self._port(request["EndpointName"])
                if now == port:
                    raise
                port = now

    def _port(self, name: str) -> int | None:
        found: int | None = Record.find(ENDPOINTS, name).read("state.json").get("Port")
        return found


class Unreachable(LaunchError):  # noqa: N818  (an answer)
    """No reply came."""


class Unavailable(LaunchError):  # noqa: N818  (an answer)
    """The server answered 503: it may answer later."""


def post(url: str, request: dict[str, Any], timeout: float = TIMEOUT) -> dict[str, Any]:
    """Sends InvokeEndpoint's request to ``url``; raises ``LaunchError`` unless the reply is 200."""
    if not url.startswith(("http://", "https://")):
        raise LaunchError(f"{url} is no http:// or https:// URL")
    headers = {"Content-Type": request.get("ContentType", "application/json")}
    if request.get("Accept"):
        headers["Accept"] = request["Accept"]
    body = request["Body"]
    data = body.encode() if isinstance(body, str) else body
    message = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310  (see above)
    try:
        with urllib.request.urlopen(message, timeout=timeout) as answer:  # noqa: S310
            return {
                "Body": io.BytesIO(answer.read()),
                "ContentType": answer.headers.get("Content-Type"),
                "ResponseMetadata": {"HTTPStatusCode": answer.status},
            }
    except urllib.error.HTTPError as error:
        said = " ".join(error.read(300).decode(errors="replace").split())
        kind = Unavailable if error.code == 503 else LaunchError
        raise kind(f"{url} answered {error.code}: {said}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise Unreachable(f"{url} does not answer: {reason}") from error
