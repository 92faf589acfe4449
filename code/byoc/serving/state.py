"""The temporary folder of one `serve`: what its processes tell one another, as files."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

FOLDER_VARIABLE = "BYOC_SERVING_STATE"


@dataclass(frozen=True)
class State:
    folder: Path

    @classmethod
    def from_environment(cls) -> State:
        """The state of the `serve` that started this process."""
        return cls(Path(os.environ[FOLDER_VARIABLE]))

    @property
    def ready(self) -> Path:
        """There while a worker with a loaded model is alive: /ping replies 200."""
        return self.folder / "ready"

    @property
    def inference_socket(self) -> Path:
        return self.folder / "inference.sock"

    @property
    def management_socket(self) -> Path:
        return self.folder / "management.sock"

    def set_ready(self, ready: bool) -> None:
        if ready:
            self.ready.touch()
        else:
            self.ready.unlink(missing_ok=True)

    def note_load(self) -> None:
        """A worker begins to load the model."""
        with (self.folder / "loads").open("a") as stream:
            stream.write(f"{os.getpid()}\n")

    def loads(self) -> int:
        """How often a worker began to load the model."""
        try:
            return len((self.folder / "loads").read_text().splitlines())
        except FileNotFoundError:
            return 0

    def report_fault(self, cause: str, details: str) -> None:
        """A worker could not load the model. Whole or not at all: written aside, then renamed."""
        aside = self.folder / f"fault.{os.getpid()}"
        aside.write_text(json.dumps({"cause": cause, "details": details}), encoding="utf-8")
        aside.replace(self.folder / "fault")

    def take_fault(self) -> tuple[str, str] | None:
        """Cause and details of a fault that was reported since the last call."""
        path = self.folder / "fault"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        path.unlink()
        return content["cause"], content["details"]
