"""What the system metrics are called, in which unit they are, and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

from byoc.debugger.run import Series


@dataclass(frozen=True)
class Metric:
    """``title`` for people; ``unit``: %, B, B/s, W, °C, 1/s, or none that is known."""

    title: str
    unit: str
    rank: int


_KNOWN = {
    ("cpu", "CPUUtilization"): ("CPU utilization", "%"),
    ("gpu", "GPUUtilization"): ("GPU utilization", "%"),
    ("gpu", "GPUMemoryUtilization"): ("GPU memory utilization", "%"),
    ("gpu", "GPUMemoryUsedBytes"): ("GPU memory used", "B"),
    ("gpu", "GPUPowerWatts"): ("GPU power", "W"),
    ("gpu", "GPUTemperatureCelsius"): ("GPU temperature", "°C"),
    ("memory", "MemoryUsedPercent"): ("Memory used", "%"),
    ("cpu", "I/OWaitPercentage"): ("I/O wait", "%"),
    ("i/o", "ReadThroughputInBytesPerSecond"): ("Disk read", "B/s"),
    ("i/o", "WriteThroughputInBytesPerSecond"): ("Disk written", "B/s"),
    ("i/o", "IOPS"): ("Disk operations", "1/s"),
    ("network", "ReceiveBytesPerSecond"): ("Network received", "B/s"),
    ("network", "TransmitBytesPerSecond"): ("Network sent", "B/s"),
}
"""By Type and, for cpu and gpu, Dimension, else Name: as SageMaker writes them, and our sampler."""

_UNITS = (
    ("BytesPerSecond", "B/s"),
    ("Bytes", "B"),
    ("Utilization", "%"),
    ("Percent", "%"),
    ("Percentage", "%"),
    ("Power", "W"),
    ("Watts", "W"),
    ("Temperature", "°C"),
    ("PerSecond", "1/s"),
)


def key_of(series: Series) -> tuple[str, str]:
    """(kind, metric): SageMaker names the metric in Dimension for cpu and gpu, else in Name."""
    return series.kind, series.dimension if series.kind in ("cpu", "gpu") else series.name


def device_of(series: Series) -> str:
    """cpu0, gpu1; of a network the source (Algorithm, Platform); else nothing."""
    return series.name if series.kind in ("cpu", "gpu") else series.dimension


def metric_of(key: tuple[str, str]) -> Metric:
    if key in _KNOWN:
        title, unit = _KNOWN[key]
        return Metric(title, unit, list(_KNOWN).index(key))
    unit = next((unit for ending, unit in _UNITS if key[1].endswith(ending)), "")
    if not unit:
        unit = next((unit for word, unit in _UNITS if word in key[1]), "")
    return Metric(_spaced(key[1]), unit, len(_KNOWN))


def _spaced(name: str) -> str:
    """GPUPowerDraw: GPU power draw."""
    words: list[str] = []
    for place, letter in enumerate(name):
        after = name[place + 1 : place + 2]
        starts = letter.isupper() and (
            not words or name[place - 1].islower() or (after.islower() and words[-1].isupper())
        )
        if starts or not words:
            words.append(letter)
        else:
            words[-1] += letter
    return " ".join(
        word if word.isupper() or not place else word.lower() for place, word in enumerate(words)
    )
