"""Models and endpoints of this machine, behind boto3's names: a server that runs in the background.

An endpoint has a record, which says which server answers for it, and each server one of its own.
An update starts a second server beside the first, and the endpoint turns to it once it answers:
whoever looks first (``describe_endpoint``) does that, since nobody stays to watch.
"""

from __future__ import annotations

import abc
import contextlib
import shutil
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from byoc import archive
from byoc.launch import hosting_fields
from byoc.launch.errors import LaunchError
from byoc.launch.state import Record, child_environment, last_line, state_dir
from byoc.launch.uris import to_path

MODELS, CONFIGS, ENDPOINTS = "models", "endpoint-configs", "endpoints"
_STOP_SECONDS = 45.0
"""SageMaker gives a server 30 s after SIGTERM; a container takes a moment more to go."""


class HostedEndpoints(abc.ABC):
    """boto3's SageMaker methods of models and endpoints; ``say`` gets the lines for the user."""

    where: str
    serve_prefix = "serve:"

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._started: list[Any] = []  # kept for reaping: a zombie is nobody's friend

    @abc.abstractmethod
    def need(self, _program: str, _image: str) -> None:
        """Raises ``LaunchError`` where `train` or `serve` cannot be run here."""

    @abc.abstractmethod
    def endpoint_command(self, _folder: Path) -> Sequence[str]:
        """What serves the record's unpacked model on the record's port until SIGTERM."""

    def endpoint_environment(self, _record: Record) -> dict[str, str]:
        """Variables of that command, besides this process's own."""
        return {}

    def create_model(self, **request: Any) -> dict[str, Any]:
        container = request["PrimaryContainer"]
        if container.get("Mode") == "MultiModel":
            raise LaunchError(
                f"--where {self.where} serves one model an endpoint; the image itself serves many "
                "with SAGEMAKER_MULTI_MODEL=true (docs/serving.md)"
            )
        self._tell(hosting_fields.ignored(request, hosting_fields.MODEL))
        path = to_path(container["ModelDataUrl"], "ModelDataUrl")
        if not path.is_file():
            raise LaunchError(f"there is no model archive {path}")
        Record.create(MODELS, request["ModelName"], request)
        return {"ModelArn": arn("model", request["ModelName"])}

    def describe_model(self, **request: str) -> dict[str, Any]:
        return Record.find(MODELS, request["ModelName"]).read("request.json")

    def create_endpoint_config(self, **request: Any) -> dict[str, Any]:
        hosting_fields.check(request, self.where)
        self._tell(hosting_fields.ignored(request, hosting_fields.CONFIG))
        variant = request["ProductionVariants"][0]
        self._tell(hosting_fields.ignored(variant, hosting_fields.VARIANT))
        Record.find(MODELS, variant["ModelName"])
        Record.create(CONFIGS, request["EndpointConfigName"], request)
        return {"EndpointConfigArn": arn("endpoint-config", request["EndpointConfigName"])}

    def describe_endpoint_config(self, **request: str) -> dict[str, Any]:
        return Record.find(CONFIGS, request["EndpointConfigName"]).read("request.json")

    def create_endpoint(self, **request: Any) -> dict[str, Any]:
        """Unpacks the model and starts the server; raises ``LaunchError`` where it cannot."""
        self._tell(hosting_fields.ignored(request, hosting_fields.ENDPOINT))
        name, config = request["EndpointName"], request["EndpointConfigName"]
        record = Record.create(ENDPOINTS, name, request)
        try:
            server = self._start_server("1", name, config, request.get("Port"))
            record.update(
                Server="1",
                Port=server.read("state.json")["Port"],
                EndpointConfigName=config,
                CreationTime=time.time(),
            )
        except BaseException:
            _remove(record)
            raise
        return {"EndpointArn": arn("endpoint", name)}

    def update_endpoint(self, **request: Any) -> dict[str, Any]:
        """Starts the new configuration's server; the old one answers until that one does."""
        self._tell(hosting_fields.ignored(request, hosting_fields.ENDPOINT))
        name, config = request["EndpointName"], request["EndpointConfigName"]
        record = Record.find(ENDPOINTS, name)
        state = record.read("state.json")
        if state.get("Next"):
            raise LaunchError(f"endpoint {name} is being updated already")
        following = str(int(state["Server"]) + 1)
        self._start_server(following, name, config)
        record.update(Next=following, NextConfigName=config, FailureReason="")
        return {"EndpointArn": arn("endpoint", request["EndpointName"])}

    def _start_server(
        self, name: str, endpoint: str, config_name: str, port: int | None = None
    ) -> Record:
        config = self.describe_endpoint_config(EndpointConfigName=config_name)
        variant = config["ProductionVariants"][0]
        container = self.describe_model(ModelName=variant["ModelName"])["PrimaryContainer"]
        self.need("serve", container["Image"])
        record = Record.create(_servers(endpoint), name, {"EndpointName": endpoint})
        try:
            archive.unpack(
                to_path(container["ModelDataUrl"], "ModelDataUrl"), record.folder / "ml" / "model"
            )
            record.update(
                Port=int(port or free_port()),
                Container=container,
                InstanceType=variant.get("InstanceType", "local"),
            )
            environment = child_environment(**self.endpoint_environment(record))
            self._started.append(record.start(self.endpoint_command(record.folder), environment))
        except archive.ArchiveError as error:
            _remove(record)
            raise LaunchError(str(error)) from error
        except BaseException:
            _remove(record)
            raise
        return record

    def describe_endpoint(self, **request: str) -> dict[str, Any]:
        record = Record.find(ENDPOINTS, request["EndpointName"])
        state = self._turned(record)
        self.reap()
        found = {**record.read("request.json"), **state}
        server = _server(request["EndpointName"], state["Server"])
        if server is None or not server.is_alive():
            said = last_line(server.log, self.serve_prefix) if server else ""
            return {**found, "EndpointStatus": "Failed", "FailureReason": said or "no server"}
        if state.get("Next"):
            return {**found, "EndpointStatus": "Updating"}
        healthy = ping(state["Port"])
        return {**found, "EndpointStatus": "InService" if healthy else "Creating"}

    def _turned(self, record: Record) -> dict[str, Any]:
        """The endpoint's state, after it has turned to its next server if that one answers."""
        state = record.read("state.json")
        if not state.get("Next"):
            return state
        name = record.folder.name
        server = _server(name, state["Next"])
        if server is None or not server.is_alive():
            said = last_line(server.log, self.serve_prefix) if server else ""
            reason = f"the update failed, the old server goes on: {said or 'no server'}"
            record.update(Next="", NextConfigName="", FailureReason=reason)
            if server:
                _remove(server)
        elif ping(server.read("state.json")["Port"]):
            old = _server(name, state["Server"])
            record.update(
                Server=state["Next"],
                Port=server.read("state.json")["Port"],
                EndpointConfigName=state["NextConfigName"],
                Next="",
                NextConfigName="",
                FailureReason="",
            )
            if old:
                _end(old)
        return record.read("state.json")

    def list_endpoints(self) -> list[dict[str, Any]]:
        """Descriptions of all there are, by name."""
        names = self.list_names(ENDPOINTS)
        return [self.describe_endpoint(EndpointName=name) for name in names]

    def list_names(self, kind: str) -> list[str]:
        """Names of all models, or of all endpoint configurations (``endpoint_configs``)."""
        folder = state_dir() / kind.replace("_", "-")
        return sorted(it.name for it in folder.iterdir()) if folder.is_dir() else []

    def delete_endpoint(self, **request: str) -> dict[str, Any]:
        """Ends its servers and waits until they have gone."""
        record = Record.find(ENDPOINTS, request["EndpointName"])
        state = record.read("state.json")
        for number in filter(None, (state.get("Server"), state.get("Next"))):
            server = _server(record.folder.name, number)
            if server:
                _end(server)
        _remove(record)
        return {}

    def delete_endpoint_config(self, **request: str) -> dict[str, Any]:
        _remove(Record.find(CONFIGS, request["EndpointConfigName"]))
        return {}

    def delete_model(self, **request: str) -> dict[str, Any]:
        _remove(Record.find(MODELS, request["ModelName"]))
        return {}

    def _tell(self, lines: list[str]) -> None:
        for line in lines:
            self._say(f"--where {self.where}: {line}")

    def reap(self) -> None:
        self._started = [process for process in self._started if process.poll() is None]


def server_log(name: str) -> Path:
    """The output of the server that answers for an endpoint; raises ``LaunchError``."""
    state = Record.find(ENDPOINTS, name).read("state.json")
    return state_dir() / _servers(name) / str(state.get("Server")) / "log"


def _servers(endpoint: str) -> str:
    """Their records' kind: they lie in the endpoint's own folder, and go with it."""
    return f"{ENDPOINTS}/{endpoint}/servers"


def _server(endpoint: str, number: str) -> Record | None:
    with contextlib.suppress(LaunchError):
        return Record.find(_servers(endpoint), number)
    return None


def _end(server: Record) -> None:
    """What it has accepted it still answers."""
    server.signal(signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while server.is_alive() and time.monotonic() < deadline:
        time.sleep(0.1)
    server.signal(signal.SIGKILL, group=True)
    _remove(server)


def _remove(record: Record) -> None:
    """Deletes a record; what a container's root user wrote there may have to stay."""
    shutil.rmtree(record.folder, ignore_errors=True)


def arn(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:local:000000000000:{kind}/{name}"


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def ping(port: int) -> bool:
    """True where the server says that it can answer (contract, H03)."""
    with (
        contextlib.suppress(OSError, urllib.error.URLError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2) as answer,
    ):
        return bool(answer.status == 200)
    return False
