"""The system sampler: the machine's numbers, a fake NVML library, the process and its files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from byoc import contract
from byoc.debugger.capture import nvml
from byoc.debugger.capture.machine import Machine
from byoc.debugger.capture.sampler import Sampler, node_name
from byoc.debugger.system_metrics import read

NVML = r"""
#include <string.h>
typedef struct { unsigned gpu, memory; } Rates;
typedef struct { unsigned long long total, free, used; } Memory;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    *handle = (void *)(size_t)(index + 1); return 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, Rates *rates) {
    rates->gpu = 40 + (unsigned)(size_t)handle; rates->memory = 3; return 0;
}
int nvmlDeviceGetMemoryInfo(void *handle, Memory *memory) {
    memory->total = 16ULL << 30; memory->used = 4ULL << 30; memory->free = 12ULL << 30; return 0;
}
int nvmlDeviceGetPowerUsage(void *handle, unsigned *power) {
    *power = 70500; return (size_t)handle == 2 ? 3 : 0;  /* not supported on the second */
}
int nvmlDeviceGetTemperature(void *handle, int kind, unsigned *celsius) {
    *celsius = 61; return 0;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not there to build a stand-in for NVML")
    folder = tmp_path_factory.mktemp("nvml")
    (folder / "nvml.c").write_text(NVML)
    made = folder / "libnvml.so"
    command = ["gcc", "-shared", "-fPIC", "-o", str(made), str(folder / "nvml.c")]
    subprocess.run(command, check=True)
    return made


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


STAT = (
    "cpu  0 0 0 0\ncpu0 {user} 0 0 {idle} {waiting} 0 0 0 0 0\n"
    "cpu1 0 0 0 {idle} 0 0 0 0 0 0\nintr 1\n"
)
DISKS = (
    "8 0 sda {n} 0 {read} 0 0 0 0 0 0 0 0\n8 1 sda1 {n} 0 {read} 0 0 0 0 0 0 0 0\n"
    "7 0 loop0 9 0 9 0 0 0 0 0 0 0 0\n"
)
NETWORK = "Inter-|\n face |\n lo: {n} 0 0 0 0 0 0 0 {n} 0\n eth0: {n} 0 0 0 0 0 0 0 0 0\n"


def test_numbers_since_the_last_look(tmp_path: Path) -> None:
    def now(user: int, idle: int, waiting: int, n: int) -> dict[str, str]:
        return {
            "proc/stat": STAT.format(user=user, idle=idle, waiting=waiting),
            "proc/meminfo": "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 750 kB\n",
            "proc/diskstats": DISKS.format(n=n, read=n),
            "proc/net/dev": NETWORK.format(n=n),
        }

    write(tmp_path, now(100, 100, 100, 0))
    machine = Machine(tmp_path)
    write(tmp_path, now(130, 150, 120, 1000))
    found = {(name, dimension): value for _, name, dimension, value in machine.read()}
    assert found["cpu0", "CPUUtilization"] == pytest.approx(30.0)
    assert found["cpu0", "I/OWaitPercentage"] == pytest.approx(20.0)
    assert found["cpu1", "CPUUtilization"] == 0.0
    assert found["MemoryUsedPercent", ""] == pytest.approx(25.0)
    assert found["MemoryUsedBytes", ""] == 250 * 1024
    # The partition is the disk's, the loopback no network.
    assert found["ReadThroughputInBytesPerSecond", ""] == pytest.approx(512 * found["IOPS", ""])
    assert found["ReceiveBytesPerSecond", "Algorithm"] == pytest.approx(found["IOPS", ""])
    assert found["TransmitBytesPerSecond", "Algorithm"] == 0.0


def test_a_containers_own_memory_limit_counts(tmp_path: Path) -> None:
    files = {
        "proc/stat": "",
        "proc/meminfo": "MemTotal: 1000000 kB\nMemAvailable: 1 kB\n",
        "sys/fs/cgroup/memory.max": "2000000\n",
        "sys/fs/cgroup/memory.current": "1500000\n",
        "sys/fs/cgroup/memory.stat": "anon 1\ninactive_file 500000\n",
    }
    write(tmp_path, files)
    found = {name: value for _, name, _, value in Machine(tmp_path).read()}
    assert found["MemoryUsedPercent"] == pytest.approx(50.0)


def test_gpus_by_nvml(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(nvml.VARIABLE, str(library))
    first, second = nvml.Nvml().read()
    assert (first.utilization, second.utilization) == (41.0, 42.0)
    assert first.memory == 25.0
    assert first.memory_bytes == 4 << 30
    assert first.watts == 70.5
    assert second.watts is None
    assert first.celsius == 61.0


def test_the_process_samples_until_it_is_ended(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(nvml.VARIABLE, str(library))
    sampler = Sampler(tmp_path, "algo-2", 0.1)
    until(lambda: any(len(series.times) > 3 for series in read(tmp_path)))
    sampler.finish()
    found = {(s.name, s.dimension): s for s in read(tmp_path)}
    assert {series.node for series in found.values()} == {"algo-2"}
    assert found["gpu0", "GPUUtilization"].values[0] == 41.0
    assert found["gpu1", "GPUMemoryUtilization"].values[0] == 25.0
    assert ("gpu1", "GPUPowerWatts") not in found
    assert 0 < found["MemoryUsedPercent", ""].values[0] < 100
    for path in (tmp_path / "system" / "incremental").glob("*/*.json"):
        minute = int(path.name.split(".")[0])
        assert path.name == f"{minute}.algo-2.json"
        assert minute % 60 == 0
        assert time.strftime("%Y%m%d%H", time.gmtime(minute)) == path.parent.name
        stamps = [json.loads(line)["Timestamp"] for line in path.read_text().splitlines()]
        assert minute <= min(stamps) <= max(stamps) < minute + 60
    with pytest.raises(ProcessLookupError):
        os.kill(sampler.pid, 0)


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from byoc.debugger.capture.sampler import Sampler\n"
        f"print(Sampler(Path({str(tmp_path)!r}), 'algo-1', 0.1).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    until(lambda: bool(read(tmp_path)))
    parent.kill()
    parent.wait()
    until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_folder_that_cannot_be_written_ends_it_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "system").write_text("in the way")
    command = [sys.executable, "-m", "byoc.debugger.capture.sampling", str(tmp_path), "algo-1"]
    done = subprocess.run([*command, "0.05"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "training goes on" in done.stderr


def test_hosts_are_numbered_as_sagemaker_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    assert node_name() == "algo-1"
    resources = {"current_host": "b", "hosts": ["c", "b", "a"]}
    write(tmp_path, {"input/config/resourceconfig.json": json.dumps(resources)})
    assert node_name() == "algo-2"
