"""What training and serving share of CUDA graphs."""

from __future__ import annotations

import torch


def recover() -> None:
    """After a capture that failed.

    torch leaves its random numbers as they are within a capture then, and the next dropout raises,
    until another capture succeeds: this one, of next to nothing.
    """
    torch.cuda.synchronize()
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        torch.zeros(1, device="cuda")
