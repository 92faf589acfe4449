"""Skips, with the reason, where there is no GPU that torch can use."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def _gpu() -> None:
    import torch

    if torch.version.cuda is None:
        pytest.skip(f"torch {torch.__version__} is a build for CPUs: set up .venv with CUDA's")
    if not torch.cuda.is_available():
        pytest.skip("torch finds no NVIDIA GPU here")
