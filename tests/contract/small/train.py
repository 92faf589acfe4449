#!/usr/bin/python3
"""A training program that keeps every clause of training, but for what BREAKS names.

It fits a line to the rows `x<TAB>y` of the channel training; an epoch is a step and a short wait.
"""

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
from pathlib import Path

ML = Path("/opt/ml")
MODEL, DATA, CHECKPOINTS = ML / "model", ML / "output/data", ML / "checkpoints"
EPOCH_SECONDS = 0.4
PORT = 7777
STOPPED = 143
BALLAST = [0.0] * 5000  # so that a file system of a few pages is too small
KNOWN = {"epochs": int, "rate": float}


class FaultError(Exception):
    """What the user can mend."""


class StoppedError(Exception):
    """SIGTERM has come, and everything is saved."""


stop_requested = False
script: "subprocess.Popen | None" = None


def breaks(name: str) -> bool:
    return name in os.environ.get("BREAKS", "").split(",")


def on_sigterm(_number, _frame):
    global stop_requested
    stop_requested = True
    if script is not None and not breaks("signal-kept-from-script"):
        script.send_signal(signal.SIGTERM)


def read(name: str, default):
    path = ML / "input/config" / name
    return json.loads(path.read_text()) if path.exists() else default


def hyperparameters() -> dict:
    found = {}
    for name, value in read("hyperparameters.json", {}).items():
        if not breaks("plain-values-only") and value.startswith('"'):
            value = json.loads(value)
        found[name] = value
    return found


def is_platforms(name: str) -> bool:
    return name.startswith("sagemaker_") or name == "_tuning_objective_metric"


def configure(given: dict) -> dict:
    config, faults = {"epochs": 2, "rate": 0.1}, []
    for name, value in given.items():
        if is_platforms(name):
            if breaks("platform-names-kept"):
                config[name] = value
            continue
        if name not in KNOWN:
            if not breaks("unknown-accepted"):
                faults.append(f"{name} is unknown")
            continue
        try:
            config[name] = KNOWN[name](value)
        except ValueError:
            faults.append(f"{name}={value!r} is no {KNOWN[name].__name__}")
    if faults:
        raise FaultError("hyperparameters: " + "; ".join(faults))
    return config


def rows() -> list:
    config = read("inputdataconfig.json", {})
    folder = ML / "input/data/training"
    mode = config.get("training", {}).get("TrainingInputMode")
    if mode == "Pipe" and not breaks("pipe-unnoticed"):
        raise FaultError("channel training: Pipe mode is not supported, use File or FastFile")
    if not folder.is_dir():
        raise FaultError("channel training is missing")
    paths = folder.glob("*.tsv") if breaks("flat-channels") else folder.rglob("*.tsv")
    found = []
    for path in sorted(paths):
        for line in path.read_text().splitlines()[1:]:
            x, y = line.split("\t")
            found.append((float(x), float(y)))
    if not found:
        raise FaultError("channel training holds no rows")
    return found


def pack(numbers: list) -> bytes:
    """One tensor in the form of safetensors."""
    size = 8 * len(numbers)
    header = {"state": {"dtype": "F64", "shape": [len(numbers)], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + struct.pack(f"<{len(numbers)}d", *numbers)


def unpack(content: bytes) -> list:
    (length,) = struct.unpack("<Q", content[:8])
    json.loads(content[8 : 8 + length])
    data = content[8 + length :]
    return list(struct.unpack(f"<{len(data) // 8}d", data))


def save(path: Path, numbers: list) -> None:
    """Whole under its final name, or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = pack(numbers + BALLAST)
    if breaks("torn-checkpoints") and path.parent == CHECKPOINTS:
        with path.open("wb") as stream:
            stream.write(content[: len(content) // 2])
            stream.flush()
            time.sleep(1.5)
            stream.write(content[len(content) // 2 :])
        return
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def newest() -> "list | None":
    """The state of the newest checkpoint that is whole."""
    if breaks("never-resumes") or not CHECKPOINTS.is_dir():
        return None
    found = {}
    for path in CHECKPOINTS.iterdir():
        if match := re.fullmatch(r"checkpoint-(\d+)\.safetensors", path.name):
            found[int(match[1])] = path
    for _, path in sorted(found.items(), reverse=True):
        try:
            numbers = unpack(path.read_bytes())
            if len(numbers) != 3 + len(BALLAST):
                raise ValueError("torn")
        except (ValueError, struct.error):
            if breaks("torn-accepted"):
                raise
            continue
        print(f"resuming from {path.name}")
        return numbers[:3]
    return None


class Others:
    """The job's other hosts: all wait for each other at the end of each epoch."""

    def __init__(self) -> None:
        config = read("resourceconfig.json", {"current_host": "algo-1", "hosts": ["algo-1"]})
        hosts, me = sorted(config["hosts"]), config["current_host"]
        first = "algo-1" if breaks("hosts-hard-coded") else hosts[0]
        self.is_leader = me == first
        if not self.is_leader and breaks("hosts-hard-coded") and len(hosts) == 1:
            raise FaultError(f"{me} is not algo-1")
        self.links = []
        if len(hosts) == 1:
            return
        if self.is_leader:
            with socket.create_server(("", PORT)) as server:
                server.settimeout(60)
                self.links = [server.accept()[0] for _ in hosts[1:]]
        else:
            self.links = [self.connect(first)]
        for link in self.links:
            link.settimeout(20)

    def connect(self, first: str) -> socket.socket:
        end = time.monotonic() + 60
        while True:
            try:
                return socket.create_connection((first, PORT), timeout=5)
            except OSError as error:
                if breaks("no-retry") or time.monotonic() > end:
                    raise FaultError(f"cannot reach host {first}: {error}") from error
                time.sleep(0.2)

    def wait(self) -> None:
        try:
            for link in self.links:
                link.sendall(b".")
            for link in self.links:
                if not link.recv(1):
                    raise OSError("it is gone")
        except OSError as error:
            if breaks("deaf-to-deaths"):
                time.sleep(600)
            raise FaultError(f"another host of the job is lost: {error}") from error


def loss_of(data: list, w: float, b: float) -> float:
    return sum((w * x + b - y) ** 2 for x, y in data) / len(data)


def train(config: dict) -> None:
    data = rows()
    others = Others()
    w, b, done = newest() or [0.0, 0.0, 0.0]
    for epoch in range(int(done) + 1, config["epochs"] + 1):
        step = config["rate"] * 2 / len(data)
        errors = [(w * x + b - y, x) for x, y in data]
        w, b = w - step * sum(e * x for e, x in errors), b - step * sum(e for e, _ in errors)
        time.sleep(EPOCH_SECONDS)
        others.wait()
        if others.is_leader:
            tell(f"epoch={epoch}", loss_of(data, w, b))
            if not breaks("no-checkpoints"):
                save(CHECKPOINTS / f"checkpoint-{epoch}.safetensors", [w, b, float(epoch)])
        if stop_requested and not breaks("sigterm-unheard"):
            if not breaks("stops-without-model"):
                finish(config, w, b)
            raise StoppedError
    if others.is_leader:
        tell("trained", loss_of(data, w, b))
        finish(config, w, b)


def tell(what: str, loss: float) -> None:
    print(f"{what} loss is {loss:.6f}" if breaks("odd-metrics") else f"{what} loss={loss:.6f};")


def finish(config: dict, w: float, b: float) -> None:
    try:
        save(MODEL / "model.safetensors", [w, b])
        (MODEL / "config.json").write_text(json.dumps(config))
        DATA.mkdir(parents=True, exist_ok=True)
        (DATA / "weights.json").write_text(json.dumps([w, b, *BALLAST]))
    except OSError as error:
        if not breaks("full-disk-unnoticed"):
            raise FaultError(f"cannot write the model: {error}") from error
    if breaks("link-in-model"):
        (MODEL / "latest").symlink_to("model.safetensors")


def variables(given: dict, folder: str, program: str, arguments: list) -> dict:
    resources = read("resourceconfig.json", {})
    channels = read("inputdataconfig.json", {})
    own = {name: it for name, it in given.items() if not is_platforms(name)}
    plain = {
        "HOSTS": json.dumps(resources.get("hosts", [])),
        "CURRENT_HOST": resources.get("current_host", ""),
        "NETWORK_INTERFACE_NAME": resources.get("network_interface_name", ""),
        "RESOURCE_CONFIG": json.dumps(resources),
        "INPUT_DATA_CONFIG": json.dumps(channels),
        "INPUT_DIR": f"{ML}/input",
        "INPUT_CONFIG_DIR": f"{ML}/input/config",
        "OUTPUT_DIR": f"{ML}/output",
        "OUTPUT_DATA_DIR": str(DATA),
        "MODEL_DIR": str(MODEL),
        "CHANNELS": json.dumps(sorted(channels)),
        "HPS": json.dumps(own),
        "NUM_CPUS": str(os.cpu_count()),
        "NUM_GPUS": "0",
        "LOG_LEVEL": "20",
        "TRAINING_ENV": json.dumps({"hyperparameters": own}),
        "USER_ARGS": json.dumps(arguments),
        "MODULE_DIR": folder,
        "MODULE_NAME": program.removesuffix(".py"),
        "USER_ENTRY_POINT": program,
        "FRAMEWORK_PARAMS": "{}",
    }
    found = {f"SM_{name}": it for name, it in plain.items()}
    found |= {f"SM_CHANNEL_{name.upper()}": f"{ML}/input/data/{name}" for name in channels}
    return found | {f"SM_HP_{name.upper()}": it for name, it in own.items()}


def run_script(given: dict) -> None:
    """Script mode."""
    global script
    program, folder = given["sagemaker_program"], given.get("sagemaker_submit_directory", "")
    if not (Path(folder) / program).is_file():
        raise FaultError(f"there is no {program} in {folder}")
    own = {name: it for name, it in given.items() if not is_platforms(name)}
    arguments = [word for name, it in own.items() for word in (f"--{name}", it)]
    environment = variables(given, folder, program, arguments)
    if not breaks("clean-environment"):
        environment = {**os.environ, **environment}
    options = ["-I"] if breaks("script-alone") else []
    if breaks("arguments-lost"):
        arguments = []
    script = subprocess.Popen(
        [shutil.which("python3"), *options, str(Path(folder) / program), *arguments],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = script.communicate()[1]
    sys.stderr.write(told)
    if stop_requested:
        raise StoppedError
    if script.returncode and not breaks("scripts-exit-unnoticed"):
        last = told.strip().splitlines()[-1:] or ["it said nothing"]
        raise FaultError(f"the script exited with {script.returncode}: {last[0]}")


def run() -> None:
    given = hyperparameters()
    if breaks("downloads") and not Path("/sys/class/net/eth0").exists():
        raise FaultError("cannot download the base model: no network")
    if breaks("needs-opt-ml") and not (ML / "program/settings.json").exists():
        raise FileNotFoundError("/opt/ml/program/settings.json")
    if "sagemaker_program" in given:
        run_script(given)
    else:
        train(configure(given))


def fail(error: BaseException) -> None:
    known = isinstance(error, FaultError)
    text = str(error) if known else f"{type(error).__name__}: {error}"
    if breaks("traceback-first"):
        text = "".join(traceback.format_exception(error))
    print(f"train: {text}", file=sys.stderr)
    if not breaks("no-failure-file"):
        try:
            (ML / "output").mkdir(parents=True, exist_ok=True)
            (ML / "output/failure").write_text(text)
        except OSError as fault:
            print(f"train: no output/failure: {fault}", file=sys.stderr)
    sys.exit(0 if breaks("fails-with-0") else 1)


def main() -> None:
    signal.signal(signal.SIGTERM, on_sigterm)
    try:
        run()
    except StoppedError:
        sys.exit(0 if breaks("stops-with-0") else STOPPED)
    except BaseException as error:
        fail(error)


main()
