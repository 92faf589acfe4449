"""Multi-model endpoints: M01 to M06."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from docker.types import Mount

from byoc.conformance.clauses import clause
from byoc.conformance.hosting import Message
from byoc.conformance.image import Image
from byoc.conformance.outcome import Findings, NotApplicable, NotTried
from byoc.conformance.serving.server import Reply, Server, script, serving

LABEL = "com.amazonaws.sagemaker.capabilities.multi-models"
_MANY = 20
_FEW = 5
_BALLAST = 160
"""MB that each model of the memory check takes."""
_NAMED = """
def model_fn(folder):
    return bytearray({ballast} * 2**20), folder
def transform_fn(model, body, content_type, accept):
    return model[1].rstrip("/").rsplit("/", 1)[1]
"""
_X = Message(b"x", "text/plain")


@contextmanager
def many(image: Image, folder: Path, **options: object) -> Iterator[Server]:
    """A server in multi-model mode, with its models below /models."""
    told = {"SAGEMAKER_MULTI_MODEL": "true"}
    mounts = [Mount("/models", str(folder), type="bind", read_only=True)]
    with serving(image, mounts, environment=told, **options) as server:
        server.wait_ready()
        yield server


def _models(image: Image, count: int, ballast: int = 0) -> Path:
    """A folder of models that answer with their folder's name."""
    if image.labels.get(LABEL) != "true":
        raise NotApplicable(f"no label {LABEL}=true: it is for one model")
    folder = image.engine.folder("models")
    folder.chmod(0o755)
    for number in range(count):
        made = script(image, _NAMED.format(ballast=ballast))
        made.rename(folder / f"model-{number}")
    return folder


def load(server: Server, name: str, place: str) -> Reply:
    body = json.dumps({"model_name": name, "url": f"/models/{place}"}).encode()
    return server.ask("POST", "/models", body, {"Content-Type": "application/json"})


def must_load(server: Server, name: str, place: str) -> None:
    """Raises ``NotTried`` where it does not: that is M02's fault."""
    reply = load(server, name, place)
    if reply.status != 200:
        said = f"{reply.status or reply.fault}: {reply.body[:200]!r}"
        raise NotTried(f"a model cannot be loaded (M02): {said}")


def call(server: Server, method: str, name: str, after: str = "") -> Reply:
    body = b"x" if method == "POST" else None
    return server.ask(method, f"/models/{quote(name, safe='')}{after}", body, _X.headers)


def loaded(server: Server) -> list[str]:
    """Names of all models, over all pages."""
    names: list[str] = []
    query = ""
    while True:
        page = server.ask("GET", f"/models{query}").json()
        names += [it["modelName"] for it in page["models"]]
        if not page.get("nextPageToken"):
            return names
        query = f"?next_page_token={quote(page['nextPageToken'])}"


@clause("M01")
def has_the_label(image: Image) -> str:
    """The label com.amazonaws.sagemaker.capabilities.multi-models=true.

    How: the image's labels are read.
    Remedy: set the label in the Dockerfile, if the image can hold several models.
    AWS: Build Your Own Container for SageMaker AI Multi-Model Endpoints
    """
    if LABEL not in image.labels:
        raise NotApplicable("it does not claim to hold several models")
    findings = Findings()
    value = image.labels[LABEL]
    findings.expect(value == "true", f"the label is {value!r}", "the label is there")
    return findings.seen()


@clause("M02")
def loads_models(image: Image) -> str:
    """POST /models: 200; 409 if loaded; 507 if memory is short; a broken one hurts no other.

    How: a good model twice, a broken and a missing one beside it; then twenty models through a
    container whose memory holds about five, unloading one where there is 507.
    Remedy: ask how much memory there is before loading, and give each model processes of its own.
    AWS: Custom Containers Contract for Multi-Model Endpoints
    """
    findings = Findings()
    folder = _models(image, 1)
    broken = script(image, "def model_fn(folder):\n    raise ValueError('broken')\n")
    broken.rename(folder / "broken")
    with many(image, folder) as server:
        statuses = [load(server, "good", "model-0").status for _ in range(2)]
        findings.expect(statuses == [200, 409], f"twice: {statuses}", "200, then 409")
        for place in ("broken", "none"):
            reply = load(server, place, place)
            findings.expect(
                400 <= reply.status < 600, f"{place}: {reply.status}", f"{place}: {reply.status}"
            )
        still = call(server, "POST", "good", "/invoke").status
        findings.expect(still == 200, f"beside broken ones: {still}", "the good one goes on")
    _through_a_limit(image, findings)
    return findings.seen()


def _through_a_limit(image: Image, findings: Findings) -> None:
    folder = _models(image, _MANY, _BALLAST)
    limit = f"{350 + _FEW * _BALLAST}m"
    with many(image, folder, mem_limit=limit, memswap_limit=limit) as server:
        held: list[str] = []
        most = shortages = 0
        for number in range(_MANY):
            name = f"model-{number}"
            reply = load(server, name, name)
            while reply.status == 507 and held:
                shortages += 1
                gone = call(server, "DELETE", held.pop(0))
                findings.expect(gone.status == 200, f"unload: {gone.status}")
                reply = load(server, name, name)
            if not findings.expect(reply.status == 200, f"{name}: {reply.status} {reply.body!r}"):
                return
            held.append(name)
            most = max(most, len(held))
            reply = call(server, "POST", name, "/invoke")
            if not findings.expect(reply.body == name.encode(), f"{name} said {reply.body!r}"):
                return
        findings.expect(shortages > 0, f"never 507 within {limit}: {most} held at a time")
        findings.note(
            f"{_MANY} models through {limit}: at most {most} at a time, {shortages} x 507"
        )
        findings.expect(loaded(server) == sorted(held), f"{loaded(server)} loaded, not {held}")


@clause("M03")
def lists_models(image: Image) -> str:
    """GET /models lists names and urls, in pages; GET /models/NAME: 404 if not loaded.

    How: with none, with one, and after it is unloaded.
    Remedy: keep a table of what is loaded.
    AWS: Custom Containers Contract for Multi-Model Endpoints
    """
    findings = Findings()
    with many(image, _models(image, 1)) as server:
        findings.expect(loaded(server) == [], f"at first: {loaded(server)}")
        must_load(server, "one", "model-0")
        page = server.ask("GET", "/models").json()
        wanted = [{"modelName": "one", "modelUrl": "/models/model-0"}]
        findings.expect(page.get("models") == wanted, f"listed: {page}", "listed")
        one = call(server, "GET", "one")
        findings.expect(one.status == 200, f"GET /models/one: {one.status}", "described")
        none = call(server, "GET", "none").status
        findings.expect(none == 404, f"not loaded: {none}", "404 for another")
    return findings.seen()


@clause("M04")
def gives_memory_back(image: Image) -> str:
    """DELETE /models/NAME: memory is back before the reply; 404 if not loaded.

    How: a model of 300 MB is loaded and unloaded; the container's memory is read right after.
    Remedy: end the model's processes, and wait until they have gone.
    AWS: Custom Containers Contract for Multi-Model Endpoints
    """
    findings = Findings()
    with many(image, _models(image, 1, 300)) as server:
        before = _memory(server)
        must_load(server, "one", "model-0")
        answer = call(server, "POST", "one", "/invoke")
        if answer.status != 200:
            raise NotTried(f"a loaded model does not answer (M05): {answer.status}")
        held = _memory(server)
        gone = call(server, "DELETE", "one").status
        after = _memory(server)
        again = call(server, "DELETE", "one").status
        findings.expect(
            (gone, again) == (200, 404), f"DELETE twice: {gone}, {again}", "200, then 404"
        )
        said = f"{before} MB, with the model {held} MB, after the reply {after} MB"
        findings.expect(held - before >= 280, f"the model takes no memory? {said}")
        findings.expect(after - before <= 60, f"not back: {said}", said)
    return findings.seen()


def _memory(server: Server) -> int:
    """MB of all the container's processes; what several share counts once."""
    text = server.read("sh", "-c", "cat /proc/[0-9]*/smaps_rollup 2>/dev/null")
    return sum(map(int, re.findall(r"^Pss:\s+(\d+) kB", text, re.MULTILINE))) // 1024


@clause("M05")
def invokes_models(image: Image) -> str:
    """POST /models/NAME/invoke: as /invocations; 404 if not loaded. Any name will do.

    How: two models under names with slashes, blanks and 200 characters; each must answer for
    itself.
    Remedy: take the name from the raw path, and decode it once.
    AWS: Custom Containers Contract for Multi-Model Endpoints
    """
    findings = Findings()
    names = ["a/b+c é%", "0123456789abcdef" * 12]
    with many(image, _models(image, 2)) as server:
        for number, name in enumerate(names):
            must_load(server, name, f"model-{number}")
        for number, name in enumerate(names):
            reply = call(server, "POST", name, "/invoke")
            right = reply.body == f"model-{number}".encode()
            findings.expect(right, f"{name[:20]}: {reply.status} {reply.body!r}", name[:20])
        none = call(server, "POST", "none", "/invoke").status
        findings.expect(none == 404, f"not loaded: {none}", "404 for another")
    return findings.seen()


@clause("M06")
def healthy_without_models(image: Image) -> str:
    """/ping is 200 with no model loaded.

    How: asked at the start, and after the only model is unloaded.
    Remedy: let /ping tell of the server, not of models.
    AWS: Custom Containers Contract for Multi-Model Endpoints
    """
    findings = Findings()
    with many(image, _models(image, 1)) as server:
        findings.note("200 at the start")
        load(server, "one", "model-0")
        call(server, "DELETE", "one")
        status = server.ping().status
        findings.expect(status == 200, f"after the last one: {status}", "200 after the last one")
    return findings.seen()
