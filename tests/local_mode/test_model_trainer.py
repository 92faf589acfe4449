"""ModelTrainer of SageMaker's SDK v3, in Mode.LOCAL_CONTAINER, with the training image."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from byoc.corpus import EMBEDDED_HYPERPARAMETERS, write_corpus
from byoc.launch.errors import LaunchError
from byoc.launch.local import engine_fault, need_image
from byoc.launch.local_session import remove

ROOT = Path(__file__).parents[2]
JOBS = ROOT / "tests" / "model_trainer_jobs.py"
SCRIPT = """\
import json, os, pathlib, signal, sys, time
import brought
model = pathlib.Path(os.environ["SM_MODEL_DIR"])
def stop(*_):
    (model / "stopped").write_text("")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
rows = sum(1 for _ in open(os.environ["SM_CHANNEL_TRAIN"] + "/train.tsv"))
told = {"arguments": sys.argv[1:], "rows": rows, "brought": brought.VALUE}
(model / "told.json").write_text(json.dumps(told))
print("script is ready", flush=True)
if "--wait" in sys.argv:
    time.sleep(100)
"""


class Trainer:
    """The program that runs jobs with ModelTrainer, one after another."""

    def __init__(self, packages: str, folder: Path) -> None:
        self.folder = folder
        self.log: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, str(JOBS), packages, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start(self, name: str, **job: object) -> Path:
        """Gives the folder that the job's results lie in."""
        assert self._process.stdin is not None
        data = {part: str(self.folder / "data" / part) for part in ("train", "validation")}
        job = {"name": name, "channels": data, "source": None, **job}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        self.log = []
        return self.folder / name

    def read_until(self, text: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.append(line)
            if text in line:
                return line
        raise AssertionError(f"{text} never came:\n{''.join(self.log)}")

    def end(self) -> str:
        return self.read_until("JOB ENDED").removeprefix("JOB ENDED ").strip()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        remove(self.folder)


def container(root: Path) -> str:
    """The running container of the job with its compose file in ``root``."""
    label = f"label=com.docker.compose.project.config_files={root / 'docker-compose.yaml'}"
    asked = ["docker", "ps", "--quiet", "--filter", label]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def docker_stop(root: Path, seconds: int) -> tuple[int, float]:
    """As SageMaker stops a job: SIGTERM, later SIGKILL. Gives the exit code, and how long it took.

    The SDK itself reports a job that ended so as a success.
    """
    running = container(root)
    began = time.monotonic()
    command = ["docker", "stop", "--time", str(seconds), running]
    subprocess.run(command, capture_output=True, check=True)
    took = time.monotonic() - began
    asked = ["docker", "inspect", "--format", "{{.State.ExitCode}}", running]
    return int(subprocess.run(asked, capture_output=True, check=True).stdout), took


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    cause = engine_fault()
    if cause:
        pytest.skip(f"no Docker engine: {cause}")
    try:
        need_image("byoc-training:cpu")
    except LaunchError as error:
        pytest.skip(str(error))
    made = subprocess.run(
        [ROOT / "docker" / "model_trainer.sh", sys.prefix], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"sagemaker-train cannot be installed: {made.stderr.strip()}")
    folder = tmp_path_factory.mktemp("trainer")
    write_corpus(folder / "data", seed=3, size=200)
    write_source(folder / "source")
    trainer = Trainer(made.stdout.strip(), folder)
    yield trainer
    trainer.close()


def write_source(folder: Path) -> None:
    """A script, and a requirement of it that needs no index."""
    folder.mkdir()
    (folder / "mine.py").write_text(SCRIPT)
    (folder / "requirements.txt").write_text("./brought-1.0-py3-none-any.whl\n")
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / "brought-1.0-py3-none-any.whl", "w") as packed:
        packed.writestr("brought.py", "VALUE = 'by pip'\n")
        about = "Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n"
        packed.writestr("brought-1.0.dist-info/METADATA", about)
        packed.writestr("brought-1.0.dist-info/WHEEL", wheel)
        packed.writestr("brought-1.0.dist-info/RECORD", "")


OFFLINE = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def test_without_source_code_the_image_s_own_training_runs(trainer: Trainer) -> None:
    hyperparameters = {**EMBEDDED_HYPERPARAMETERS, "epochs": "1", "max-length": "16"}
    root = trainer.start("own", hyperparameters=hyperparameters)
    assert trainer.end() == "well", trainer.log
    assert (root / "model" / "model.safetensors").is_file()
    assert (root / "compressed_artifacts" / "model.tar.gz").is_file()
    assert [line for line in trainer.log if "epoch=1 val_loss=" in line]


def test_a_failure_of_it_is_one_of_model_trainer_s(trainer: Trainer) -> None:
    root = trainer.start("failing", hyperparameters={"colour": "green"})
    assert trainer.end().startswith("badly"), trainer.log
    told = next(root.glob("**/failure")).read_text()
    assert told.startswith("hyperparameters: colour is unknown")


def test_source_code_runs_in_the_image(trainer: Trainer) -> None:
    root = trainer.start(
        "users-own",
        source={
            "source_dir": str(trainer.folder / "source"),
            "entry_script": "mine.py",
            "requirements": "requirements.txt",
        },
        hyperparameters={"lr": 0.001, "words": "two words", "flag": True},
        environment=OFFLINE,
    )
    assert trainer.end() == "well", trainer.log
    told = json.loads((root / "model" / "told.json").read_text())
    assert told["arguments"] == ["--lr", "0.001", "--words", "two words", "--flag", "true"]
    assert told["rows"] > 100
    assert told["brought"] == "by pip"


def test_the_sdk_s_own_start_script_keeps_sigterm_from_the_user_s(trainer: Trainer) -> None:
    """A limit of the SDK: its bash is PID 1 and traps nothing. docs/script-mode.md says what to do;
    should this fail one day, the SDK passes signals on, and the page can say so."""
    root = trainer.start(
        "deaf",
        source={
            "source_dir": str(trainer.folder / "source"),
            "entry_script": "mine.py",
            "requirements": "requirements.txt",
        },
        hyperparameters={"wait": "1"},
        environment=OFFLINE,
    )
    trainer.read_until("script is ready")
    code, took = docker_stop(root, seconds=2)
    trainer.end()
    assert code == 137
    assert took >= 2
    assert not (root / "model" / "stopped").exists()


def test_exec_train_as_the_command_gives_the_script_its_signal(trainer: Trainer) -> None:
    root = trainer.start(
        "heard",
        source={"source_dir": str(trainer.folder / "source"), "command": "exec train"},
        hyperparameters={"sagemaker_program": "mine.py", "wait": "1"},
        environment=OFFLINE,
    )
    trainer.read_until("script is ready")
    code, took = docker_stop(root, seconds=30)
    trainer.end()
    assert code == 143
    assert took < 10
    assert (root / "model" / "stopped").exists()
    told = json.loads((root / "model" / "told.json").read_text())
    assert told["arguments"] == ["--wait", "1"]
    assert told["brought"] == "by pip"
