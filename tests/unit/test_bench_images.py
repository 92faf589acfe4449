"""The size table's arithmetic; what it measures needs the images."""

from __future__ import annotations

from byoc.bench.images import group_sizes


def test_every_byte_is_in_one_group() -> None:
    packages = {"torch": 7, "torchgen": 1, "numpy.libs": 2, "/opt/program": 3, "idna": 4, "six": 5}
    groups = group_sizes(packages)
    assert groups == {"torch": 8, "numpy, scipy": 2, "byoc": 3, "other packages": 9}
