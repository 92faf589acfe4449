"""`python -m byoc.bench.debug`: what debugging a training job costs; on the CPU, in one run.

Blocks of the same steps with and without debugging take turns. Each block with debugging has one
step that is saved; what it costs more than its twin is spread over the interval of saves.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from byoc.bench.training import Figure

INTERVAL, EVAL_INTERVAL, FIRST = 100, 10, 10
"""The defaults: train.save_interval, eval.save_interval, the first ten steps."""
EPOCHS = 8
MOST_MB = 50


@dataclass
class Block:
    """Seconds of each counted step; the saved one is apart."""

    plain: list[float] = field(default_factory=list)
    saved: list[float] = field(default_factory=list)


class Bench:
    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        from byoc.bench import training_data

        self.options, self.scratch = options, scratch
        self.source = training_data.find(options.data, scratch)
        training_data.write_encoder(scratch / "encoder", self.source, options.model)
        channels = {"train": self.source.train, "validation": self.source.validation}
        settings = {"batch-size": "32", "epochs": str(EPOCHS), "precision": "32", "debug": "true"}
        settings["debug-profile-steps"] = ""
        self.job = training_data.prepared(
            scratch / "job", {**channels, "model": scratch / "encoder"}, settings
        )
        self.tree = scratch / "job"

    def steps(self) -> Iterator[Figure]:
        from byoc.bench.training_paths import load

        model = load(self.job)
        steps = 4 if self.options.short else 10
        without, with_ = Block(), Block()
        for number in range(self.options.rounds):
            for debugs, block in ((False, without), (True, with_)):
                one = self._block(model, steps, number, debugs)
                block.plain += one.plain
                block.saved += one.saved
        between = median(a - b for a, b in zip(with_.plain, without.plain, strict=True))
        saved = median(a - b for a, b in zip(with_.saved, without.saved, strict=True))
        step = median(without.plain)
        share = (between + saved / INTERVAL) / step
        kind = "CPU time of a step" if self.options.cpu_time else "step time"
        yield Figure(
            f"{kind} with debugging, a save each {INTERVAL} steps, over without",
            f"{share:+.2%} of {step * 1e3:.0f} ms: {between * 1e3:+.1f} ms a step, "
            f"{saved * 1e3:+.0f} ms a save with all rules (median of {len(with_.saved)})",
            "<= 3%",
            share <= 0.03,
        )

    def _block(self, model: Any, steps: int, number: int, debugs: bool) -> Block:
        """The step that is saved is the middle one."""
        from byoc.bench.training_data import base_dir
        from byoc.bench.training_paths import SampledSteps
        from byoc.training import debugging, fit
        from byoc.training.checkpoint import Checkpoints
        from byoc.training.model import Classifier
        from byoc.training.place import Place
        from byoc.training.progress import Progress
        from byoc.training.stopping import StopRequest

        job, place = self.job, Place()
        data = SampledSteps(job.tokens(), job.tokenizer().pad_token_id, job.config)
        data.steps, data.number = steps, number
        total = job.config.epochs * data.steps_per_epoch()
        classifier = Classifier(
            model, job.config, total_steps=total, class_counts=job.counts["train"]
        )
        kept = Checkpoints(job.folder / "checkpoints", job.identity, 1)
        progress = Progress(
            job.config, place, StopRequest(), kept, data.steps_per_epoch(), saves_regularly=False
        )
        progress.precision = "32-true"
        # The first batch makes the optimizer's state and is not counted.
        progress.step_in_epoch = INTERVAL - steps // 2 - 1
        fit._quiet()
        clock = time.process_time if self.options.cpu_time else time.perf_counter
        watch = _Watch(steps, steps // 2, clock)
        with base_dir(self.tree), contextlib.ExitStack() as stack:
            looks = []
            if debugs:
                looks = stack.enter_context(
                    debugging.attached(job, classifier, data, progress, place)
                )
                if not looks:
                    raise RuntimeError("debugging did not start")
            trainer = fit._trainer(progress, place, looks)
            trainer.callbacks.append(watch)  # type: ignore[attr-defined]
            with contextlib.suppress(_EnoughError):
                trainer.fit(classifier, data)
        if debugs and looks[0].has_failed:  # type: ignore[attr-defined]
            raise RuntimeError("debugging ended before the block did")
        block: Block = watch.block
        return block

    def disk(self) -> Iterator[Figure]:
        tensors = self.tree / "output" / "data" / "debugger" / "tensors"
        saves = [path for path in tensors.glob("events/*") if path.is_dir()]
        size = sum(_allocated(tensors, path.name) for path in saves) / len(saves)
        rows = {split: sum(counts) for split, counts in self.job.counts.items()}
        steps = EPOCHS * -(-rows["train"] // 32)
        count = FIRST + (steps - 1) // INTERVAL
        batches = EPOCHS * -(-rows["validation"] // 32)
        evals = -(-batches // EVAL_INTERVAL)
        # A save of a validation holds a loss, labels, classes and tokens: four files' blocks.
        small = 4 * 4096 + 32 * 128 * 8
        total = (count * size + evals * small) / 1e6
        yield Figure(
            f"tensors on disk, {EPOCHS} epochs, batch 32: {steps} steps",
            f"{total:.1f} MB, extrapolated: {count} saves of {size / 1e6:.2f} MB (as measured), "
            f"{evals} of validations, {small / 1e3:.0f} kB at most",
            f"<= {MOST_MB} MB",
            total <= MOST_MB,
        )

    def sampler(self) -> Iterator[Figure]:
        from byoc.debugger.capture.sampler import Sampler

        seconds = 10.0 if self.options.short else 60.0
        sampler = Sampler(self.scratch / "sampler", "algo-1", 0.5)
        try:
            time.sleep(2)  # its start is not what it costs
            before = _cpu_seconds(sampler.pid)
            time.sleep(seconds)
            share = (_cpu_seconds(sampler.pid) - before) / seconds
        finally:
            sampler.finish()
        yield Figure(
            f"the sampler's share of a core, each 500 ms, {os.cpu_count()} cores to sample",
            f"{share:.2%} over {seconds:.0f} s",
            "<= 1%",
            share <= 0.01,
        )

    def off(self) -> Iterator[Figure]:
        """One job in a process of its own, as `train` runs it."""
        from byoc.bench.training_data import lay_out

        channels = {"train": self.source.train, "validation": self.source.validation}
        few = {"epochs": "1", "model-name-or-path": "scratch", "max-length": "8"}
        tree = lay_out(self.scratch / "off", channels, {**few, "batch-size": "512"})
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                _OFF,
                "process_time" if self.options.cpu_time else "perf_counter",
            ],
            env={**os.environ, "SAGEMAKER_BASE_DIR": str(tree)},
            capture_output=True,
            text=True,
            check=True,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        yield Figure(
            "debug=false: what debugging takes of a job; modules of smdebug that are imported",
            f"{found['seconds'] * 1e6:.0f} us in all; {found['modules']}",
            "no measurable cost; 0",
            found["modules"] == 0 and found["seconds"] < 0.05,
        )


_OFF = """
import json, sys, time
from byoc.training import debugging, main
clock = getattr(time, sys.argv.pop())
spent = 0.0
begin = debugging._begin
def timed(*words):
    global spent
    started = clock()
    found = begin(*words)
    spent += clock() - started
    return found
debugging._begin = timed
try:
    main.main()
except SystemExit as end:
    if end.code:
        raise
modules = sum(name.split(".")[0] == "smdebug" for name in sys.modules)
print(json.dumps({"seconds": spent, "modules": modules}))
"""


class _EnoughError(Exception):
    pass


class _Watch:
    """A Lightning callback, made at first use: the library is not imported before the settings
    stand that it must find."""

    def __new__(cls, steps: int, saved: int, clock: Callable[[], float]) -> Any:
        import pytorch_lightning as lightning

        class Watch(lightning.Callback):
            def __init__(self) -> None:
                self.block, self._done, self._last = Block(), -1, 0.0

            def on_train_batch_end(self, *_: Any, **__: Any) -> None:
                now = clock()
                if self._done >= 0:
                    where = self.block.saved if self._done == saved else self.block.plain
                    where.append(now - self._last)
                self._last, self._done = now, self._done + 1
                if self._done == steps:
                    raise _EnoughError

        return Watch()


def _allocated(tensors: Path, step: str) -> int:
    """Bytes of disk that a step's event and index files take."""
    paths = [*tensors.glob(f"events/{step}/*"), *tensors.glob(f"index/*/{step}_*")]
    return sum(path.stat().st_blocks * 512 for path in paths)


def _cpu_seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    options = _options()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from byoc.training.main import prepare_libraries

    prepare_libraries()
    import torch
    import transformers

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    console = Console(width=150 if not sys.stdout.isatty() else None)
    table = Table("measure", "measured", "must reach", "", title="debugging")
    passed = True
    with tempfile.TemporaryDirectory(prefix="byoc-bench-debug-") as folder:
        bench = Bench(options, Path(folder))
        load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
        print(
            f"{bench.source.told}; DistilBERT's size, random weights; {torch.get_num_threads()} "
            f"threads; load average before: {load}",
            flush=True,
        )
        for part in (bench.steps, bench.disk, bench.sampler, bench.off):
            for figure in part():
                told = {True: "pass", False: "FAIL", None: ""}[figure.passed]
                passed = passed and figure.passed is not False
                line = (figure.measure, figure.measured, figure.target, told)
                table.add_row(*line)
                print(" | ".join(filter(None, line)), flush=True)
    console.print(table)
    return 0 if passed else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="byoc.bench.debug")
    parser.add_argument("--data", type=Path, default=Path("../shared/cola"), metavar="DIR")
    parser.add_argument("--model", type=Path, metavar="DIR", help="a pretrained encoder")
    parser.add_argument("--rounds", type=int, default=0, help="default: 7; 2 with --short")
    parser.add_argument("--short", action="store_true", help="minutes less, and less sure")
    parser.add_argument(
        "--cpu-time", action="store_true", help="steps by the CPU's clock: on a busy machine"
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.short else 7)
    return options


if __name__ == "__main__":
    sys.exit(main())
