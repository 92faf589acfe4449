"""`python -m byoc.launch.local_endpoint FOLDER`: one endpoint in SageMaker local mode.

Holds the SDK's session for as long as the endpoint lives; SIGTERM ends both.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from byoc.launch.local_session import open_session, remove, use_plain_log
from byoc.launch.process import TREE
from byoc.launch.state import Record
from byoc.launch.uris import to_uri


def main() -> None:
    """Serves the record's model until SIGTERM, or until the container ends."""
    record = Record(Path(sys.argv[1]))
    root = record.folder / "session"
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    use_plain_log()
    # The thread in which the SDK waits for the container raises when that ends: we look ourselves.
    threading.excepthook = lambda _thrown: None
    server = threading.Thread(target=_serve, args=(record, root, end), daemon=True)
    server.start()
    while not end.wait(0.5):
        pass
    remove(root)
    shutil.rmtree(root, ignore_errors=True)
    # The SDK's threads still wait for a container that has gone: not worth waiting for.
    sys.stdout.flush()
    os._exit(0)


def _serve(record: Record, root: Path, end: threading.Event) -> None:
    """Starts the endpoint through the SDK, then watches over its container."""
    try:
        state, request = record.read("state.json"), record.read("request.json")
        session = open_session(root, state["Port"])
        client, name = session.sagemaker_client, request["EndpointName"]
        container = dict(state["Container"])
        # Unpacked already: the SDK would unpack the archive into the folder that it lies in.
        container["ModelDataUrl"] = to_uri(record.folder / TREE / "model")
        container.setdefault("Environment", {})
        client.create_model(ModelName=name, PrimaryContainer=container)
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": name,
            "InstanceType": state["InstanceType"],
            "InitialInstanceCount": 1,
        }
        client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        threading.Thread(target=_watch, args=(client, name, end), daemon=True).start()
        client.create_endpoint(EndpointName=name, EndpointConfigName=name)
    except Exception as error:  # the SDK raises RuntimeError, and whatever its parts raise
        if not end.is_set():
            print(f"serve: {' '.join(str(error).split())}", flush=True)
        end.set()


def _watch(client: Any, name: str, end: threading.Event) -> None:
    """Ends everything when the container has ended: the SDK would go on asking for /ping."""
    seen = False
    while not end.is_set():
        endpoint = client._endpoints.get(name)
        hosting = endpoint and endpoint.container and endpoint.container.container
        alive = bool(hosting and hosting.is_alive())
        if seen and not alive:
            time.sleep(0.5)  # the last words of the container are still on their way
            end.set()
        seen = seen or alive
        time.sleep(0.2)


if __name__ == "__main__":
    main()
