"""NVIDIA's management library, by ctypes: a few numbers of each GPU.

Source of names and structures: NVML's API reference (nvmlDeviceGetUtilizationRates,
nvmlDeviceGetMemoryInfo, nvmlDeviceGetPowerUsage, nvmlDeviceGetTemperature).
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass

LIBRARY = "libnvidia-ml.so.1"
VARIABLE = "BYOC_NVML_LIBRARY"
"""Names another library: for tests, and for drivers that lie elsewhere."""

_GPU_TEMPERATURE = 0


class _Utilization(ctypes.Structure):
    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


class _Memory(ctypes.Structure):
    _fields_ = [
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    ]


@dataclass(frozen=True)
class Reading:
    """Of one GPU; None for what it does not tell. Utilization and memory in per cent."""

    index: int
    utilization: float | None
    memory: float | None
    memory_bytes: float | None
    watts: float | None
    celsius: float | None


class Nvml:
    """Raises ``OSError`` where there is no driver."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ.get(VARIABLE) or LIBRARY)
        if self._library.nvmlInit_v2() != 0:
            raise OSError("NVML does not start: no NVIDIA driver runs")
        count = ctypes.c_uint()
        self._library.nvmlDeviceGetCount_v2(ctypes.byref(count))
        self._devices = []
        for index in range(count.value):
            handle = ctypes.c_void_p()
            if self._library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) == 0:
                self._devices.append((index, handle))

    def read(self) -> list[Reading]:
        return [self._read(index, handle) for index, handle in self._devices]

    def _read(self, index: int, handle: ctypes.c_void_p) -> Reading:
        rates, memory = _Utilization(), _Memory()
        power, celsius = ctypes.c_uint(), ctypes.c_uint()
        library, ref = self._library, ctypes.byref
        has_rates = library.nvmlDeviceGetUtilizationRates(handle, ref(rates)) == 0
        has_memory = library.nvmlDeviceGetMemoryInfo(handle, ref(memory)) == 0 and memory.total
        has_power = library.nvmlDeviceGetPowerUsage(handle, ref(power)) == 0
        has_heat = library.nvmlDeviceGetTemperature(handle, _GPU_TEMPERATURE, ref(celsius)) == 0
        return Reading(
            index,
            float(rates.gpu) if has_rates else None,
            # SageMaker's GPUMemoryUtilization is what is in use, not NVML's rate of traffic.
            100.0 * memory.used / memory.total if has_memory else None,
            float(memory.used) if has_memory else None,
            power.value / 1000 if has_power else None,
            float(celsius.value) if has_heat else None,
        )
