"""The debugger's sampler by the real NVML library."""

from __future__ import annotations

import torch

from byoc.debugger.capture import nvml


def test_reads_what_the_gpu_does() -> None:
    library = nvml.Nvml()
    before = library.read()[0]
    held = torch.zeros(512 * 1024 * 1024, dtype=torch.uint8, device="cuda")
    for _ in range(200):
        product = torch.randn(4096, 4096, device="cuda") @ torch.randn(4096, 4096, device="cuda")
    busy = library.read()[0]
    torch.cuda.synchronize()
    assert torch.isfinite(product).all()
    assert held.sum() == 0
    assert busy.memory_bytes is not None
    assert before.memory_bytes is not None
    assert busy.memory_bytes >= before.memory_bytes + 256 * 1024 * 1024
    assert busy.memory is not None
    assert 0 < busy.memory < 100
    assert busy.utilization is not None
    assert 0 <= busy.utilization <= 100
    assert busy.watts is not None
    assert busy.watts > 5
    assert busy.celsius is not None
    assert 10 < busy.celsius < 120
