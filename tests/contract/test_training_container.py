"""The training image where things go wrong, or are narrower than usual; clauses are elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from docker.types import Mount

from byoc.conformance.image import Image
from byoc.conformance.job import Ended, Setting, first_run, lay_out, run, started
from byoc.conformance.training.hosts import hosts
from byoc.conformance.training.scripts import script_tree
from byoc.conformance.tree import Tree, copy, files

SECRETS = {
    "hub-token": "hf_" + "Zq7" * 12,
    "access-key": "AKIA" + "QX3D" * 4,
    "my-password": "correct-horse-battery-staple",
}


def metrics(ended: Ended) -> dict[str, object]:
    return dict(json.loads((ended.tree.data / "metrics.json").read_text()))


def assert_failed(ended: Ended, *words: str) -> None:
    """As the exit code and output/failure have it, and with no model that looks trained."""
    assert ended.code == 1, ended.stderr
    assert ended.failure
    told = ended.failure.splitlines()[0]
    assert not [word for word in words if word not in told], told
    assert ended.stderr.splitlines()[-1] == f"train: {told}"
    assert not (ended.tree.model / "model.safetensors").exists()


def own_train(image: Image, write: Callable[[Path], object]) -> Tree:
    """A tree whose channel train is what ``write`` makes of an empty folder."""
    folder = image.engine.folder("train")
    write(folder)
    return lay_out(image, channels={**image.workload.channels, "train": folder})


def table(text: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "train.tsv").write_bytes(text)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (b"", "empty"),
        (b"sentence\tlabel\na b\t1\nc d\t1\n", "one class only"),
        (b"sentence\tclass\na b\t1\n", "class"),
        (b"sentence\tlabel\na\xff b\t1\n", "UTF-8"),
    ],
    ids=["empty", "one-class", "no-column", "utf-8"],
)
def test_a_bad_table_is_named_before_any_work(training: Image, text: bytes, cause: str) -> None:
    assert_failed(run(training, own_train(training, table(text))), cause)


@pytest.mark.parametrize(
    ("mask", "options"),
    [("077", {"read_only": True, "tmpfs": {"/tmp": ""}}), ("000", {})],
    ids=["umask-077-read-only-root", "umask-000"],
)
def test_narrow_surroundings_change_nothing(
    training: Image, mask: str, options: dict[str, object]
) -> None:
    command = ("bash", "-c", f"umask {mask}; exec train")
    ended = run(training, lay_out(training), Setting(command, is_isolated=True, options=options))
    assert ended.code == 0, ended.stderr
    assert metrics(ended) == metrics(first_run(training))
    modes = {path.stat().st_mode & 0o777 for path in ended.tree.model.iterdir() if path.is_file()}
    assert modes == {0o644}


def test_a_channel_of_a_gigabyte_is_streamed(training: Image) -> None:
    """FastFile: held nowhere, written nowhere.

    What fills it is a column that is not read, so that only the reading counts, and not the
    training. The shell adds up what its children have read and written.
    """
    memory = 900 * 1024**2
    told = "/opt/ml/output/accounts"
    command = f"train; code=$?; cat /proc/$$/io > {told}; exit $code"

    def write(folder: Path) -> None:
        source = training.workload.channels["train"] / "train.tsv"
        header, *rows = source.read_bytes().splitlines()
        filling = b"\tfilling " + b"words and words " * (1024**3 // len(rows) // 16)
        with (folder / "train.tsv").open("wb") as stream:
            stream.write(header + b"\tfilling\n")
            stream.writelines(row + filling + b"\n" for row in rows)
        assert (folder / "train.tsv").stat().st_size > 0.99 * 1024**3

    limits = {
        "mem_limit": memory,
        "memswap_limit": memory,
        "read_only": True,
        "tmpfs": {"/tmp": "size=64m"},
    }
    tree = own_train(training, write)
    modes = {name: {"TrainingInputMode": "FastFile"} for name in tree.channels}
    tree.write_config("inputdataconfig.json", modes)
    ended = run(training, tree, Setting(("bash", "-c", command), options=limits))
    (tree.channels["train"] / "train.tsv").unlink()
    assert ended.code == 0, (ended.out_of_memory, ended.stderr)
    assert metrics(ended) == metrics(first_run(training))
    accounts = (tree.root / "output/accounts").read_text()
    read, written = (int(accounts.split(f"{name}: ")[1].split()[0]) for name in ("rchar", "wchar"))
    assert read > 2 * 1024**3  # checked, then tokenized
    assert written < 16 * 1024**2
    assert sum(path.stat().st_size for path in files(tree.root)) < 16 * 1024**2


def test_a_loss_that_is_no_number_is_a_failure(training: Image) -> None:
    folder = training.engine.folder("broken")
    copy(first_run(training).tree.model, folder)
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    not_a_number = b"\x00\x00\xc0\x7f"
    weights.write_bytes(content[:start] + not_a_number * ((len(content) - start) // 4))
    channels = {**training.workload.channels, "model": folder}
    assert_failed(run(training, lay_out(training, channels=channels)), "diverged", "lr")


def test_a_job_out_of_memory_does_not_look_completed(training: Image) -> None:
    memory = 200 * 1024**2
    limits = {"mem_limit": memory, "memswap_limit": memory}
    ended = run(training, lay_out(training), Setting(options=limits))
    assert ended.code in (1, 137)
    assert not (ended.tree.model / "model.safetensors").exists()


def test_a_full_output_folder_is_a_failure_even_where_none_can_be_told(training: Image) -> None:
    tree = lay_out(training)
    full = Mount("/opt/ml/output", None, type="tmpfs", tmpfs_size=4096)
    ended = run(training, tree, Setting(mounts=[full]))
    assert ended.code == 1
    assert "No space left" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("program", ["raise KeyboardInterrupt", "import os; os.abort()"])
def test_a_script_that_ends_strangely_is_a_failure(training: Image, program: str) -> None:
    ended = run(training, script_tree(training, program))
    assert ended.code == 1
    assert ended.failure


def test_secrets_are_in_no_failure_text(training: Image) -> None:
    unknown = run(
        training, lay_out(training, {**SECRETS, "lr": SECRETS["access-key"]}, channels={})
    )
    assert_failed(unknown, *SECRETS)
    environment = {name.upper().replace("-", "_"): value for name, value in SECRETS.items()}
    program = f"import os; raise ValueError(' '.join(os.environ[it] for it in {[*environment]}))"
    raised = run(training, script_tree(training, program), Setting(environment=environment))
    for ended in (unknown, raised):
        assert ended.failure
        assert not [it for it in SECRETS.values() if it in ended.failure], ended.failure


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_sigterm_before_training_ends_it_in_order(training: Image, seconds: float) -> None:
    with started(training, lay_out(training, {"epochs": "1000"})) as job:
        # Any moment will do: it is in the imports, or just behind them.
        time.sleep(seconds)
        job.signal("SIGTERM")
        ended = job.end_or_kill(60)
    assert ended.code == 143, ended.stderr
    assert ended.failure is None


def test_the_first_hosts_death_fails_the_others_too(training: Image) -> None:
    with hosts(training, longer=True) as (first, second):
        first.until_line(training.workload.under_way)
        first.signal("SIGKILL")
        ended = second.end_or_kill(60)
    assert ended.code == 1, ended.stderr
    assert ended.failure
