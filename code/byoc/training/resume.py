"""Takes the state of a training out of its objects, and puts it back into those of another run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as lightning
import torch

from byoc.training.checkpoint import State, Tensors
from byoc.training.model import Classifier


def weights(model: Any) -> dict[str, torch.Tensor]:
    """What training changes: trainable weights, and the buffers that belong to the state.

    Tied weights come once; frozen ones come from the model that training started from.
    """
    kept = model.state_dict()
    found = {name: w.detach() for name, w in model.named_parameters() if w.requires_grad}
    found.update((name, value) for name, value in model.named_buffers() if name in kept)
    return found


def copies(model: Any) -> Tensors:
    """The weights as they are now, on the CPU."""
    return {name: value.to("cpu", copy=True) for name, value in weights(model).items()}


@torch.no_grad()
def put_back(model: Any, tensors: Mapping[str, torch.Tensor]) -> None:
    for name, value in weights(model).items():
        value.copy_(tensors[name])


def collect(trainer: lightning.Trainer, classifier: Classifier) -> State:
    """The weights, the optimizer's and the schedule's state, and the loss scaler's."""
    state = State()
    state.add("model", weights(classifier.model))
    optimizer = trainer.optimizers[0].state_dict()
    plain: dict[str, dict[str, Any]] = {}
    for number, slots in optimizer["state"].items():
        tensors = {slot: value for slot, value in slots.items() if torch.is_tensor(value)}
        state.add(f"optimizer/{number}", tensors)
        plain[str(number)] = {slot: v for slot, v in slots.items() if slot not in tensors}
    state.facts["optimizer"] = {
        "plain": plain,
        "groups": [
            {name: value for name, value in group.items() if name != "params"}
            for group in optimizer["param_groups"]
        ],
    }
    state.facts["schedule"] = _schedule(trainer).state_dict()
    state.facts["scaler"] = trainer.precision_plugin.state_dict()
    return state


def restore_optimizer(trainer: lightning.Trainer, state: State) -> None:
    """The reverse of `collect` for all but the weights; ``trainer`` has set up its optimizer."""
    optimizer = trainer.optimizers[0]
    own, saved = optimizer.state_dict(), state.facts["optimizer"]
    own["state"] = {
        int(number): {**slots, **state.part(f"optimizer/{number}")}
        for number, slots in saved["plain"].items()
    }
    for group, values in zip(own["param_groups"], saved["groups"], strict=True):
        group.update(values)
    optimizer.load_state_dict(own)
    _schedule(trainer).load_state_dict(state.facts["schedule"])
    trainer.precision_plugin.load_state_dict(state.facts["scaler"])


def _schedule(trainer: lightning.Trainer) -> Any:
    return trainer.lr_scheduler_configs[0].scheduler
