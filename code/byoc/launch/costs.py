"""What is running on AWS, and so costs money: endpoints, and jobs that have not ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

HOUR = 3600.0


@dataclass(frozen=True)
class Running:
    """``count`` instances of ``instance`` since ``seconds``; of a serverless endpoint none, since
    it costs by the request."""

    kind: str
    name: str
    status: str
    instance: str
    count: int
    seconds: float

    @property
    def hours(self) -> float:
        """Of all its instances, so far."""
        return self.seconds / HOUR * self.count


def running(client: Any) -> Iterator[Running]:
    """All that runs in the client's region and account, of whoever began it."""
    now = time.time()
    for found in _pages(client, "list_endpoints", "Endpoints"):
        yield from _endpoint(client, found["EndpointName"], now)
    for kind, operation, key, name in (
        ("training job", "list_training_jobs", "TrainingJobSummaries", "TrainingJobName"),
        ("transform job", "list_transform_jobs", "TransformJobSummaries", "TransformJobName"),
    ):
        for found in _pages(client, operation, key, StatusEquals="InProgress"):
            yield _job(client, kind, found[name], now)


def _pages(client: Any, operation: str, key: str, **filters: str) -> Iterator[dict[str, Any]]:
    for page in client.get_paginator(operation).paginate(**filters):
        yield from page[key]


def _endpoint(client: Any, name: str, now: float) -> Iterator[Running]:
    found = client.describe_endpoint(EndpointName=name)
    config = client.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
    there = {it["VariantName"]: it for it in found.get("ProductionVariants", [])}
    for variant in config["ProductionVariants"]:
        instance = variant.get("InstanceType", "serverless")
        asked = variant.get("InitialInstanceCount", 0)
        count = there.get(variant["VariantName"], {}).get("CurrentInstanceCount", asked)
        yield Running(
            "endpoint",
            name,
            found["EndpointStatus"],
            instance,
            0 if instance == "serverless" else count,
            _since(found.get("CreationTime"), now),
        )


def _job(client: Any, kind: str, name: str, now: float) -> Running:
    if kind == "training job":
        found = client.describe_training_job(TrainingJobName=name)
        where, begun = found["ResourceConfig"], found.get("TrainingStartTime")
        status = found["TrainingJobStatus"]
    else:
        found = client.describe_transform_job(TransformJobName=name)
        where, begun = found["TransformResources"], found.get("TransformStartTime")
        status = found["TransformJobStatus"]
    count = where.get("InstanceCount", 1)
    return Running(kind, name, status, where.get("InstanceType", ""), count, _since(begun, now))


def _since(moment: datetime | None, now: float) -> float:
    """Seconds; 0 of what has not begun."""
    return max(0.0, now - moment.timestamp()) if moment else 0.0
