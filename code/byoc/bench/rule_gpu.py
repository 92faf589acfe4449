"""A stand-in for NVML where there is no GPU: a library that tells what a file says.

A GPU a line: utilization and memory, in per cent. Compiled with the machine's C compiler.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from byoc.debugger.capture.nvml import VARIABLE

FILE = "BYOC_BENCH_GPUS"
TOTAL = 1 << 34
SOURCE = f"""
#include <stdio.h>
#include <stdlib.h>
struct rates {{ unsigned gpu, memory; }};
struct memory {{ unsigned long long total, free, used; }};
static double values[16][2];
static unsigned count;
static int load(void) {{
    FILE *file = fopen(getenv("{FILE}"), "r");
    if (!file) return 1;
    for (count = 0; count < 16; count++)
        if (fscanf(file, "%lf %lf", &values[count][0], &values[count][1]) != 2) break;
    fclose(file);
    return 0;
}}
int nvmlInit_v2(void) {{ return load(); }}
int nvmlShutdown(void) {{ return 0; }}
int nvmlDeviceGetCount_v2(unsigned *found) {{ *found = count; return 0; }}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {{
    *handle = (void *)(unsigned long)(index + 1);
    return 0;
}}
int nvmlDeviceGetUtilizationRates(void *handle, struct rates *found) {{
    load();
    found->gpu = (unsigned)values[(unsigned long)handle - 1][0];
    found->memory = 0;
    return 0;
}}
int nvmlDeviceGetMemoryInfo(void *handle, struct memory *found) {{
    load();
    found->total = {TOTAL}ull;
    found->used = (unsigned long long)(values[(unsigned long)handle - 1][1] / 100 * {TOTAL}.0);
    found->free = found->total - found->used;
    return 0;
}}
int nvmlDeviceGetPowerUsage(void *handle, unsigned *found) {{ *found = 70000; return 0; }}
int nvmlDeviceGetTemperature(void *handle, int kind, unsigned *found) {{ *found = 60; return 0; }}
"""


class Gpus:
    """Starts the stand-in for samplers that start after it; ``tell`` changes what it says."""

    def __init__(self, folder: Path, gpus: Sequence[tuple[float, float]]) -> None:
        source, library = folder / "nvml.c", folder / "libnvml.so"
        source.write_text(SOURCE, encoding="utf-8")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        self._file = folder / "gpus"
        self.tell(gpus)
        os.environ[VARIABLE], os.environ[FILE] = str(library), str(self._file)

    def tell(self, gpus: Sequence[tuple[float, float]]) -> None:
        whole = self._file.with_suffix(".new")
        text = "".join(f"{utilization} {memory}\n" for utilization, memory in gpus)
        whole.write_text(text, encoding="utf-8")
        whole.replace(self._file)
