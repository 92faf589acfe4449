"""What jobs of the image under test are given: data, hyperparameters, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from byoc import corpus
from byoc.conformance.hosting import Hosting
from byoc.metric_lines import METRIC_DEFINITIONS

ROWS = 1200
"""Sentences of the embedded corpus that a job gets: an epoch takes about half a second."""


@dataclass(frozen=True)
class Workload:
    """Without anything: nothing is known of the image."""

    channels: Mapping[str, Path] = field(default_factory=dict)
    """Folder by channel name."""
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    """Those of a short job."""
    longer: Mapping[str, str] = field(default_factory=dict)
    """Over these: a job of several epochs that can be stopped in the middle."""
    several_processes: Mapping[str, str] = field(default_factory=dict)
    """Over ``hyperparameters``: trains in several processes on one host, GPUs or not."""
    wrong: Mapping[str, str] = field(default_factory=dict)
    """Known hyperparameters with values that the image must refuse."""
    environment: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    """Regular expression by metric name, as in AlgorithmSpecification's MetricDefinitions."""
    under_way: str = ""
    """A regular expression of a line that a longer job prints before it is half done."""
    resumed: str = ""
    """A regular expression of the line that a job prints when it goes on from a checkpoint."""
    stop_seconds: float = 120.0
    """How soon a stopped job must have ended; SageMaker kills it after 120 s."""
    stopped_codes: tuple[int, ...] = ()
    """Exit codes that say that a job was stopped; any but 0 and 137 where none are named."""
    has_script_mode: bool = False
    trains_on_several_hosts: bool | None = None
    """None: a job on two hosts tells."""
    is_a_guess: bool = False
    """Nobody said what the image trains on: ``channels`` are empty folders."""
    is_a_script: bool = False
    """What trains is a script that the check brings: the image is judged by how it runs one."""
    model_is_a_base_model: bool = False
    """What lies in model/ after training can be given to another job as the channel model."""
    hosting: Hosting = field(default_factory=Hosting)
    """What a serving image is tried with."""


def embedded(folder: Path) -> Workload:
    """What our own training image is tried with: the embedded corpus, written to ``folder``."""
    corpus.write_corpus(folder, size=ROWS)
    # No dropout: its masks differ from process to process, and several are held against one.
    return Workload(
        channels={name: folder / name for name in ("train", "validation")},
        hyperparameters={**corpus.EMBEDDED_HYPERPARAMETERS, "epochs": "1", "dropout": "0"},
        longer={"epochs": "5", "early-stopping-patience": "0", "checkpoint-seconds": "0.2"},
        several_processes={"processes-per-host": "2"},
        wrong={"epochs": "many", "lr": "fast"},
        metrics={it["Name"]: it["Regex"] for it in METRIC_DEFINITIONS},
        under_way=r"^epoch=1 ",
        resumed=r"^resuming from ",
        stop_seconds=20.0,
        stopped_codes=(143,),
        has_script_mode=True,
        trains_on_several_hosts=True,
        model_is_a_base_model=True,
    )
