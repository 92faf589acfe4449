"""Writes tensors as smdebug's hook of a plain PyTorch job does, or reads them back as it does.

write_tensors.py FOLDER train          a small network, by smdebug's own hook, saved whole
write_tensors.py FOLDER reduced        the same, as reductions
write_tensors.py FOLDER read FILE.npz  what smdebug's create_trial reads of FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import smdebug.pytorch as smd
import torch
from smdebug.trials import create_trial
from torch import nn

REDUCTIONS = ["min", "max", "mean", "std"]


def main() -> None:
    folder, what = Path(sys.argv[1]), sys.argv[2]
    train(folder, reduced=what == "reduced")
    read(folder, folder.with_suffix(".npz"))


def train(folder: Path, *, reduced: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    loss_module = nn.CrossEntropyLoss()
    reduction = smd.ReductionConfig(
        reductions=REDUCTIONS, abs_reductions=["mean"], norms=["l2"], save_raw_tensor=not reduced
    )
    hook = smd.Hook(
        out_dir=str(folder),
        save_config=smd.SaveConfig(save_interval=4),
        include_collections=["losses", "gradients", "weights", "biases", "relu_output"],
        reduction_config=reduction if reduced else None,
    )
    hook.get_collection("relu_output").include(".*ReLU.*output|1_output")
    hook.register_module(model)
    hook.register_loss(loss_module)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    inputs = torch.randn(32, 8)
    for mode, steps in ((smd.modes.TRAIN, 24), (smd.modes.EVAL, 8)):
        hook.set_mode(mode)
        for _ in range(steps):
            optimizer.zero_grad()
            loss_module(model(inputs), (inputs[:, 0] > 0).long()).backward()
            optimizer.step()
    hook.close()


def read(folder: Path, target: Path) -> None:
    trial = create_trial(str(folder))
    found = {}
    for step in trial.steps():
        for name in trial.tensor_names(step=step):
            tensor = trial.tensor(name)
            try:
                found[f"{step}|{name}"] = tensor.value(step)
            except Exception:  # saved as reductions only
                for (reduction, absolute), value in tensor.reduction_values(step).items():
                    found[f"{step}|{name}|{reduction}|{absolute}"] = value
    np.savez(target, **found)


if __name__ == "__main__":
    main()
