"""multi-model-server behind the front: its configuration and its command line.

Its own launcher writes a pid file that allows one server a machine, and sagemaker-inference's
writes to /etc and looks through all processes; so this starts the Java program itself. It listens
on Unix sockets in the state's folder: no port of it is on any network, and none can be taken.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from byoc import contract
from byoc.serving import health, variables
from byoc.serving.faults import ServingFault
from byoc.serving.settings import Settings
from byoc.serving.state import FOLDER_VARIABLE, MODEL_FILE, State
from byoc.serving.worker import lanes_of, listen

PROGRAM = "java"
DEBIAN_PACKAGE = "openjdk-17-jre-headless"
MODEL_NAME = "model"
HANDLER = "byoc.serving.handler"
WORKER = "mms/model_service_worker.py"
"""Where the model server looks for the program of a worker, under its home."""
HEAP = "512m"
"""The most that Java may take: queued bodies of 6 MB each lie there twice."""
LOAD_SECONDS = 1800
"""The server's own time limit, for loading too; a worker ends a slow request by itself."""

SPINS = "10000"
"""How often a compute thread of libgomp looks for more work before it sleeps: some 0.1 ms, longer
than between two layers. Its own 3 ms keep the core from whoever carries the reply. At 8 requests at
a time the slowest took a sixth longer with 0.2 ms; a lone one took 1.7 times as long with 0.01 ms.
"""

_NETTY_NAMES = {"x86_64": "x86_64", "aarch64": "aarch_64"}
_NOISE = (
    "model_service_worker started",
    "Listening on port:",
    "[PID]",
    "MMS worker started.",
    "Python runtime:",
    "Connection accepted:",
    "Model server started.",
    "attachIOStreams()",
    "terminateIOStreams()",
    "WARNING: sun.reflect.Reflection",
    "Stopped Scanner",
    "OpenJDK 64-Bit Server VM warning",
)

_LOADED = re.compile(r"Model \w+ loaded io_fd=")

_LOG_CONFIGURATION = """\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="off">
  <Appenders>
    <Console name="out" target="SYSTEM_OUT"><PatternLayout pattern="%m%n"/></Console>
  </Appenders>
  <Loggers>
    <Logger name="com.amazonaws.ml.mms.wlm.WorkerLifeCycle" level="info"/>
    <Root level="{level}"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
"""


@dataclass(frozen=True)
class Launch:
    command: list[str]
    environment: dict[str, str]
    descriptors: tuple[int, ...]
    """Open files that the process must inherit."""


def prepare(settings: Settings, state: State) -> Launch:
    """Writes the configuration into the state's folder; how to start the server with it."""
    home = _home()
    _write_worker(state.folder / WORKER)
    (state.folder / "models").mkdir()
    start = []
    if not settings.is_multi_model:
        _write_model(state.folder / "models" / MODEL_NAME)
        start = ["-m", f"{MODEL_NAME}={MODEL_NAME}"]
    config = state.folder / "config.properties"
    config.write_text(_properties(settings, state), encoding="utf-8")
    log = state.folder / "log4j2.xml"
    level = "debug" if settings.log_level <= 10 else "off"
    log.write_text(_LOG_CONFIGURATION.format(level=level), encoding="utf-8")
    library = _native_library(home / "mms/frontend/model-server.jar", state.folder / "native")
    command = [
        PROGRAM,
        f"-Xmx{HEAP}",
        # Small and quick to start rather than quick at its peak: it only passes requests on.
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        f"-Djava.io.tmpdir={state.folder}",
        f"-Djava.library.path={state.folder / 'native'}",
        f"-Dlog4j.configurationFile=file://{log}",
        f"-Dmodel_server_home={state.folder}",
        *("-cp", str(home / "mms/frontend/model-server.jar"), "com.amazonaws.ml.mms.ModelServer"),
        *("--python", sys.executable, "-f", str(config)),
        *("-s", str(state.folder / "models"), *start),
    ]
    return Launch(command, _environment(settings, state), (library,))


def register(settings: Settings, state: State, name: str, path: Path) -> int:
    """Has a model of multi-model mode loaded; the server's status, 200 once its workers have it.

    ``name``: of letters and digits; ``path``: the model's folder.
    """
    folder = state.folder / "models" / name
    _write_model(folder, name)
    (folder / MODEL_FILE).write_text(json.dumps({"path": str(path)}), encoding="utf-8")
    query = urlencode(
        {
            "url": name,
            "model_name": name,
            "initial_workers": settings.workers * lanes_of(path, settings),
            "synchronous": "true",
        }
    )
    return health.manage(state, "POST", f"/models?{query}", settings.startup_timeout)


def workers(settings: Settings, state: State) -> Launch:
    """How to start the workers of the one model; the server's connections go to their socket."""
    descriptor = listen(state.workers_socket).detach()
    command = [sys.executable, str(state.folder / WORKER), "--listen", str(descriptor)]
    return Launch(command, _environment(settings, state), (descriptor,))


def is_noise(line: str) -> bool:
    """What the server says for itself about each worker, in every start."""
    return line.startswith(_NOISE) or not line.strip() or bool(_LOADED.match(line))


def _home() -> Path:
    """The folder that holds the package mms, found without running it."""
    spec = importlib.util.find_spec("mms")
    if spec is None or spec.origin is None:
        raise ServingFault("the Python package multi-model-server is not installed")
    return Path(spec.origin).resolve().parent.parent


def _write_worker(path: Path) -> None:
    """Our worker in the place of the server's own."""
    path.parent.mkdir()
    path.write_text("from byoc.serving.worker import main\n\nmain()\n", encoding="utf-8")


def _write_model(folder: Path, name: str = MODEL_NAME) -> None:
    """An exploded model archive that holds nothing but the name of our handler."""
    manifest = {
        "specificationVersion": "1.0",
        "implementationVersion": "1.0",
        "modelServerVersion": "1.0",
        "runtime": "python",
        "model": {"modelName": name, "modelVersion": "1.0", "handler": HANDLER},
    }
    (folder / "MAR-INF").mkdir(parents=True)
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest), encoding="utf-8")


def _properties(settings: Settings, state: State) -> str:
    properties = {
        "inference_address": f"unix:{state.inference_socket}",
        "management_address": f"unix:{state.management_socket}",
        # What it takes for a worker is one connection: ``byoc.serving.worker``.
        "default_workers_per_model": settings.workers * lanes_of(contract.model_dir(), settings),
        "job_queue_size": settings.queue,
        "default_response_timeout_seconds": LOAD_SECONDS,
        # The front has limited bodies already; headers and framing come on top.
        "max_request_size": settings.body_limit + 1024 * 1024,
        "max_response_size": 100 * 1024 * 1024,
        "decode_input_request": "false",
        "preload_model": "false",
        # Its collector would start a Python of its own every minute.
        "metric_time_interval": 2_000_000_000,
    }
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def _native_library(jar: Path, folder: Path) -> int:
    """Netty's library for Unix sockets, from the jar, as a file in memory; its descriptor.

    Netty would unpack it into the temporary folder, and fail where /tmp forbids execution, as
    Docker's ``--tmpfs /tmp`` does. A memory file may be executed; a link gives it its name.
    """
    machine = platform.machine()
    if machine not in _NETTY_NAMES:
        raise ServingFault(f"the model server has no library for {machine}: use x86_64 or aarch64")
    name = f"libnetty_transport_native_epoll_{_NETTY_NAMES[machine]}.so"
    descriptor = os.memfd_create(name)
    with zipfile.ZipFile(jar) as archive:
        content = archive.read(f"META-INF/native/{name}")
    with os.fdopen(os.dup(descriptor), "wb") as stream:
        stream.write(content)
    folder.mkdir()
    (folder / name).symlink_to(f"/proc/self/fd/{descriptor}")
    return descriptor


def _environment(settings: Settings, state: State) -> dict[str, str]:
    """What the server and its workers see. No network, no caches outside the state's folder."""
    # These would override the command line.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in {"MMS_CONFIG_FILE", "MODEL_SERVER_HOME", "JAVA_TOOL_OPTIONS"}
    }
    return kept | {
        FOLDER_VARIABLE: str(state.folder),
        variables.WORKERS.name: str(settings.workers),
        "BYOC_SERVING_LOG_LEVEL": str(settings.log_level),
        "OMP_NUM_THREADS": str(settings.threads),
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", SPINS),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "HF_HOME": os.environ.get("HF_HOME", str(state.folder / "hf")),
        "HOME": os.environ.get("HOME", str(state.folder)),
        "TMPDIR": str(state.folder),
        "PYTHONUNBUFFERED": "1",
    }
