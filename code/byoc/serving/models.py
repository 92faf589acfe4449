"""Multi-model mode: SageMaker's /models API over the model server's management interface.

Each model has worker processes of its own: a broken one hurts no other, and its memory is back
when they have gone. Source: AWS's developer guide, page mms-container-apis.
"""

from __future__ import annotations

import base64
import json
import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from byoc.serving import health, memory, model_files, model_server, packages
from byoc.serving.control import Reply, reply
from byoc.serving.faults import ServingFault
from byoc.serving.log import say
from byoc.serving.settings import Settings
from byoc.serving.state import State

PAGE = 100
"""Models in one reply of GET /models."""
WORKER_BYTES = 350 * 1024 * 1024
"""What a worker takes beside its weights, until one has been measured."""
_NAME_LIMIT = 1024


@dataclass
class Model:
    name: str
    url: str
    id: str
    """Its name in the model server; never given twice."""
    state: State
    """Of its workers alone."""
    is_loaded: bool = False


class Models:
    """Which models are loaded; safe to use from several threads."""

    def __init__(self, settings: Settings, state: State) -> None:
        self._settings, self._state = settings, state
        self._lock = threading.Lock()
        self._models: dict[str, Model] = {}
        self._count = 0
        self._reserved = 0
        self._worker_bytes = WORKER_BYTES

    def answer(self, method: str, path: str, query: str, body: bytes) -> Reply:
        """The reply to a request for /models, /models/NAME or /-model/models/NAME/invoke."""
        if path == "/models":
            if method == "POST":
                return self._load(body)
            return self._list(query) if method == "GET" else _not_allowed("GET or POST")
        if path.startswith("/-model/"):
            return self._find(unquote(path.removeprefix("/-model/models/").removesuffix("/invoke")))
        name = unquote(path.removeprefix("/models/"))
        if "/" in path.removeprefix("/models/"):
            return reply(404, {"error": "not found: a slash in a model's name is sent as %2F"})
        if method == "GET":
            return self._describe(name)
        return self._unload(name) if method == "DELETE" else _not_allowed("GET or DELETE")

    def all(self) -> list[Model]:
        """Those that are loaded, by name."""
        with self._lock:
            return sorted(
                (it for it in self._models.values() if it.is_loaded), key=lambda it: it.name
            )

    def _find(self, name: str) -> Reply:
        """For the front: which model of the server a name means."""
        with self._lock:
            found = self._models.get(name)
        if found is None:
            return reply(403, {})
        return Reply(200, b"", headers={"X-Byoc-Model": found.id})

    def _list(self, query: str) -> Reply:
        """A page's token is the name that it ends with: models may come and go between pages."""
        token = parse_qs(query).get("next_page_token", [""])[0]
        try:
            after = base64.b64decode(token, altchars=b"-_", validate=True).decode()
        except ValueError:
            return reply(400, {"error": "next_page_token is not one that was given out"})
        found = [it for it in self.all() if not token or it.name > after]
        content: dict[str, Any] = {"models": [_shown(it) for it in found[:PAGE]]}
        if len(found) > PAGE:
            last = found[PAGE - 1].name
            content["nextPageToken"] = base64.urlsafe_b64encode(last.encode()).decode()
        return reply(200, content)

    def _describe(self, name: str) -> Reply:
        with self._lock:
            found = self._models.get(name)
        return reply(200, _shown(found)) if found and found.is_loaded else _not_loaded()

    def _load(self, body: bytes) -> Reply:
        try:
            name, url = _wanted(body)
        except ValueError as error:
            return reply(400, {"error": str(error)})
        with self._lock:
            if name in self._models:
                return reply(409, {"error": "a model of this name is loaded already"})
            self._count += 1
            number = f"m{self._count}"
            model = Model(name, url, number, State(self._state.folder / "models" / number))
            self._models[name] = model
        try:
            found = self._start(model)
        except ServingFault as fault:
            say(f"model {name}: {fault}{fault.details and chr(10) + fault.details.rstrip()}")
            found = reply(400, {"error": _without_paths(str(fault), url)})
        if found.status == 200:
            model.is_loaded = True
            say(f"model {name} is loaded")
            return found
        self._end(model)
        with self._lock:
            del self._models[name]
        return found

    def _start(self, model: Model) -> Reply:
        """Loads; raises ``ServingFault`` where the model is missing or broken."""
        path = Path(model.url)
        model_files.check(path)
        weights = sum(it.stat().st_size for it in path.rglob("*") if it.is_file())
        need = self._settings.workers * (weights + self._worker_bytes)
        with self._lock:
            free = memory.available() - self._reserved
            if need > free:
                say(f"model {model.name}: needs {_mb(need)}, and {_mb(free)} are free")
                return reply(
                    507, {"error": f"the model needs {_mb(need)}, and {_mb(free)} are free"}
                )
            self._reserved += need
        try:
            model.state.folder.mkdir(parents=True)
            packages.install(path, model.state.folder, self._settings.startup_timeout)
            status = model_server.register(self._settings, self._state, model.id, path)
        finally:
            with self._lock:
                self._reserved -= need
        if status == 200:
            self._measure(model, weights)
            return reply(200, {"status": "loaded"})
        fault = model.state.take_fault()
        if fault:
            raise ServingFault(*fault)
        if status == 507 or memory.available() < need - weights:
            return reply(507, {"error": "a worker ran out of memory while it loaded the model"})
        say(f"model {model.name}: a worker ended while it loaded the model, without a word")
        return reply(500, {"error": "a worker ended while it loaded the model"})

    def _measure(self, model: Model, weights: int) -> None:
        """What the next one will need is what this one took."""
        pids = model.state.processes()
        taken = sum(memory.private(pid) for pid in pids) // self._settings.workers - weights
        if taken > 0:
            self._worker_bytes = taken

    def _unload(self, name: str) -> Reply:
        with self._lock:
            model = self._models.get(name)
            if model is None or not model.is_loaded:
                return _not_loaded()
            model.is_loaded = False  # a second DELETE finds none
        self._end(model)
        with self._lock:
            del self._models[name]
        say(f"model {name} is unloaded")
        return reply(200, {"status": "unloaded"})

    def _end(self, model: Model) -> None:
        """Returns when its processes have gone, and their memory with them."""
        health.manage(self._state, "DELETE", f"/models/{model.id}", 60)
        model.state.end_processes()
        shutil.rmtree(model.state.folder, ignore_errors=True)


def _wanted(body: bytes) -> tuple[str, str]:
    """Name and folder of a request to load; raises ``ValueError``."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the body is not valid JSON") from None
    if not isinstance(content, dict):
        raise ValueError("the body must be an object with model_name and url")
    name, url = content.get("model_name"), content.get("url")
    if not isinstance(name, str) or not 0 < len(name) <= _NAME_LIMIT or not _is_text(name):
        raise ValueError(f"model_name must be a string of at most {_NAME_LIMIT} characters")
    if not isinstance(url, str) or not url.startswith("/") or "\0" in url or not _is_text(url):
        raise ValueError("url must be the path of a folder")
    return name, url


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without_paths(message: str, url: str) -> str:
    folder = url.rstrip("/")
    return message.replace(f"{folder}/", "").replace(folder, "the model's folder")


def _shown(model: Model) -> dict[str, str]:
    return {"modelName": model.name, "modelUrl": model.url}


def _not_loaded() -> Reply:
    return reply(404, {"error": "no model of this name is loaded"})


def _not_allowed(methods: str) -> Reply:
    allowed = {"Allow": methods.replace(" or", ",")}
    return replace(reply(405, {"error": f"method not allowed: {methods}"}), headers=allowed)


def _mb(size: int) -> str:
    return f"{max(0, size) // (1024 * 1024)} MB"
