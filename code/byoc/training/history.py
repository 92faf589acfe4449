"""What training has reported so far, by step and by epoch; a checkpoint carries it over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Record = dict[str, float]


@dataclass
class History:
    """``steps``: {"step", "epoch", "train_loss", "lr"} of each logged optimizer step;
    ``epochs``: {"epoch", "step", "train_loss", "val_loss", "val_mcc", …} of each epoch's end."""

    steps: list[Record] = field(default_factory=list)
    epochs: list[Record] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {"steps": self.steps, "epochs": self.epochs}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> History:
        return cls(list(content["steps"]), list(content["epochs"]))

    def records(self) -> list[Record]:
        """All in the order of their steps; an epoch comes after its last step."""
        ranked = [(record["step"], 0, record) for record in self.steps]
        ranked += [(record.get("step", 0), 1, record) for record in self.epochs]
        return [record for _, _, record in sorted(ranked, key=lambda found: found[:2])]
