"""How the image starts, and in which surroundings: H01, H02, H08, H12 to H14."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from byoc.conformance.clauses import clause
from byoc.conformance.image import Image
from byoc.conformance.outcome import Findings, NotApplicable, NotTried
from byoc.conformance.patience import patience
from byoc.conformance.serving.server import (
    PATIENT,
    START_SECONDS,
    Server,
    expect_taken,
    message_of,
    model_of,
    mounted,
    script,
    serving,
    shared,
    until,
)

_SHELLS = ("sh", "bash", "dash", "ash")
_PORT_LABEL = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port"
_DEAF_SECONDS = 5.0
_WORDS_SECONDS = 10.0
CAUSE_SECONDS = 30.0
"""How soon a container with a broken model must have ended."""


@clause("H01")
def serves_with_the_command(image: Image) -> str:
    """`docker run IMAGE serve` serves; entry point in exec form; signals reach the server.

    How: the image's own server answers one request; ENTRYPOINT and CMD are looked at; PID 1 of a
    running one is named, and SIGTERM to it must end the container with 0.
    Remedy: put a program named serve on PATH, write ENTRYPOINT and CMD as JSON lists, and end a
    start script with `exec`.
    AWS: Custom Inference Code with Hosting Services
    """
    findings = Findings()
    for name in ("Entrypoint", "Cmd"):
        words = image.config.get(name) or []
        is_shell = len(words) > 1 and words[0].split("/")[-1] in _SHELLS and words[1] == "-c"
        findings.expect(not is_shell, f"{name} is in shell form: {' '.join(words)}")
    if not image.workload.hosting.has_model:
        _starts(image)
    with serving(image, mounted(model_of(image))) as server:
        server.wait_ready()
        reply = server.invoke(message_of(image))
        expect_taken(findings, image, reply, "an invocation")
        first = server.read("cat", "/proc/1/cmdline").replace("\0", " ").strip()
        server.signal("SIGTERM")
        code = server.wait(patience(35))
        findings.expect(code == 0, f"SIGTERM: exit {code}", f"PID 1 is {first!r}; SIGTERM ends it")
    return findings.seen()


def _starts(image: Image) -> None:
    """Raises ``Failed`` where the image has no program `serve`."""
    with serving(image):
        pass


@clause("H02")
def listens_where_it_is_told(image: Image) -> str:
    """Port 8080, or SAGEMAKER_BIND_TO_PORT; no second port outside SAGEMAKER_SAFE_PORT_RANGE.

    How: the ports that the running container listens on are read from /proc/net/tcp, with the
    defaults, where others than 8080 are only named, and with SAGEMAKER_BIND_TO_PORT=9191 and
    SAGEMAKER_SAFE_PORT_RANGE=9192-9199; the label is looked at.
    Remedy: read the variable, listen on no other interface, and set the label
    com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true.
    AWS: Run your own inference pipeline: SAGEMAKER_BIND_TO_PORT
    """
    findings = Findings()
    usual = _ports(shared(image))
    findings.expect(8080 in usual, f"listens on {sorted(usual)}", f"listens on {sorted(usual)}")
    told = {"SAGEMAKER_BIND_TO_PORT": "9191", "SAGEMAKER_SAFE_PORT_RANGE": "9192-9199"}
    with serving(image, mounted(model_of(image)), environment=told, port=9191) as server:
        _wait_for_a_port(server)
        ports = _ports(server)
        outside = {port for port in ports if not 9191 <= port <= 9199}
        findings.expect(9191 in ports and not outside, f"told 9191: {sorted(ports)}", "9191, told")
    findings.expect(image.labels.get(_PORT_LABEL) == "true", f"no label {_PORT_LABEL}=true")
    return findings.seen()


def _wait_for_a_port(server: Server) -> None:
    """Until it is ready where it was told, or has listened elsewhere for some seconds."""
    heard: list[float] = []

    def is_over() -> bool:
        if server.ping().status == 200 or not server.is_running():
            return True
        if 8080 in _ports(server):
            heard.append(time.monotonic())
        return bool(heard) and heard[-1] - heard[0] > _DEAF_SECONDS

    until(is_over, START_SECONDS)


def _ports(server: Server) -> set[int]:
    """TCP ports that are listened on, whatever the interface."""
    found: set[int] = set()

    def are_found() -> bool:
        text = server.run("cat", "/proc/net/tcp", "/proc/net/tcp6")
        found.update(int(it, 16) for it in re.findall(r":([0-9A-F]{4}) [0-9A-F]+:0000 0A ", text))
        return bool(found)

    # A busy engine may lose a command's words.
    until(are_found, _WORDS_SECONDS)
    return found


@clause("H08")
def a_broken_model_is_told(image: Image) -> str:
    """The model is read from /opt/ml/model, read-only; missing or broken, it ends the container.

    How: the model is mounted read-only; then nothing, an empty folder and the model with its
    largest file cut short: the container must end by itself, not with 0, and say why last. Asks
    nothing of an image that answers well without a model.
    Remedy: look at the model before the server starts, and exit with the cause.
    AWS: Custom Inference Code with Hosting Services: How SageMaker AI Loads Your Model Artifacts
    """
    findings = Findings()
    models: list[tuple[str, Path | None]] = [("none", None), ("empty", _empty(image))]
    model = model_of(image) if image.workload.hosting.has_model else None
    if model is not None:
        ping = shared(image).ping().status
        findings.expect(ping == 200, f"/ping is {ping}", "serves from a read-only mount")
        models.append(("torn", _torn(image, model)))
    elif _answers_without_a_model(image):
        raise NotApplicable("it answers with 200 without a model: that is in the image")
    for name, folder in models:
        with serving(image, mounted(folder) if folder else ()) as server:
            code = server.wait(patience(CAUSE_SECONDS))
            said = server.last_words()
            findings.expect(
                code not in (0, None),
                f"model {name}: "
                + (f"still runs, /ping is {ping_of(server)}" if code is None else "exit 0"),
                f"{name}: exit {code}: {said}",
            )
    return findings.seen()


def _answers_without_a_model(image: Image) -> bool:
    try:
        server = shared(image)
    except NotTried:
        return False
    return server.invoke(image.workload.hosting.message).status == 200


def _empty(image: Image) -> Path:
    folder = image.engine.folder("empty")
    folder.chmod(0o755)
    return folder


def _torn(image: Image, model: Path) -> Path:
    folder = image.engine.folder("torn")
    shutil.copytree(model, folder, dirs_exist_ok=True)
    folder.chmod(0o755)
    largest = max(
        (it for it in folder.rglob("*") if it.is_file()), key=lambda it: it.stat().st_size
    )
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    return folder


@clause("H12")
def needs_no_network(image: Image) -> str:
    """No network needed, at start or later; nothing is installed at start.

    How: the server runs on a network that leads nowhere, and must answer.
    Remedy: put all packages into the image, and set HF_HUB_OFFLINE=1.
    AWS: Run Training and Inference Containers in Internet-Free Mode
    """
    network = image.engine.network()
    try:
        with serving(image, mounted(model_of(image)), network=network.name) as server:
            server.wait_ready()
            reply = server.invoke(message_of(image))
            findings = Findings()
            expect_taken(findings, image, reply, "on a network that leads nowhere")
            return findings.seen()
    finally:
        image.engine.remove(network)


@clause("H13")
def serves_serverless(image: Image) -> str:
    """Serverless: at most 10 GB, no writable file system but /tmp, one worker; no need for root.

    How: a read-only root file system with a fresh /tmp, as root and as user 1000, in a container
    of 2 GB with one core.
    Remedy: write temporary files under /tmp alone; take folders from TMPDIR.
    AWS: Deploy models with Amazon SageMaker Serverless Inference
    """
    findings = Findings()
    size = int(image.attributes["Size"])
    findings.expect(size <= 10 * 1024**3, f"{size / 1e9:.1f} GB", f"{size / 1e9:.2f} GB")
    for user in ("0", "1000:1000"):
        options = {"read_only": True, "tmpfs": {"/tmp": ""}, "user": user}  # noqa: S108
        limits = {"mem_limit": "2g", "nano_cpus": 10**9}
        told = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
        mounts = mounted(model_of(image))
        with serving(image, mounts, environment=told, **options, **limits) as server:
            server.wait_ready()
            reply = server.invoke(message_of(image))
            expect_taken(findings, image, reply, f"user {user}")
    return findings.seen()


def ping_of(server: Server) -> int | str:
    reply = server.ping()
    return reply.status or reply.fault


_LIMITS = """
import os
def model_fn(folder):
    return None
def transform_fn(model, body, content_type, accept):
    return os.environ.get("OMP_NUM_THREADS", "not set")
"""


@clause("H14")
def limits_of_the_container_count(image: Image) -> str:
    """CPU limits of the container, not of the host, decide workers and threads.

    How: in a container of one core, a model's script tells how many threads it may use, and
    processes that answer are counted.
    Remedy: read the cgroup's cpu.max, and set OMP_NUM_THREADS and the number of workers by it.
    AWS: Custom Inference Code with Hosting Services
    """
    findings = Findings()
    with serving(image, mounted(script(image, _LIMITS)), nano_cpus=10**9) as server:
        server.wait_ready()
        threads = server.ask("POST", "/invocations", b"x").body.decode()
        findings.expect(threads == "1", f"OMP_NUM_THREADS is {threads}", "one thread on one core")
    with serving(image, mounted(script(image, PATIENT)), nano_cpus=10**9) as server:
        server.wait_ready()
        until(lambda: False, 1.0)
        found = {server.ask("POST", "/invocations", b"0").body for _ in range(8)}
        findings.expect(len(found) == 1, f"{len(found)} workers on one core", "one worker")
    return findings.seen()
