"""One of several processes that train together: what torchrun starts (`python -m …worker FOLDER`).

It leaves a note of its end for the `train` program, which owns the failure file and the exit code.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

from byoc.training import redact
from byoc.training.faults import LostPeerError, StoppedError, TrainingFault
from byoc.training.stopping import StopRequest
from byoc.training.torchrun import Ending, die_with_parent


def main() -> None:
    die_with_parent()
    folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    stop = StopRequest()
    # From here on the process has a note, so SIGTERM may come at any time.
    stop.defer()
    stop.install()
    Ending("running", os.getpid()).write(folder / "endings", rank)
    ending = _guarded(folder, stop)
    ending.write(folder / "endings", rank)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: the libraries' own clean-up waits for processes that may be gone.
    os._exit(1 if ending.kind in ("failed", "lost") else 0)


def _guarded(folder: Path, stop: StopRequest) -> Ending:
    from byoc.training.main import prepare_libraries

    try:
        prepare_libraries()
        from byoc.training import libraries

        with libraries.importing():
            from byoc.training import place, prepare
            from byoc.training.fit import train

        train(prepare.load(folder), stop, place.join())
    except StoppedError:
        return Ending("stopped", os.getpid())
    except BaseException as error:
        return _failed(error)
    return Ending("stopped" if stop.requested else "done", os.getpid())


def _failed(error: BaseException) -> Ending:
    from byoc.training.main import cause
    from byoc.training.place import is_lost_peer, lost_peer

    if not isinstance(error, TrainingFault) and is_lost_peer(error):
        error = lost_peer(error)
    if isinstance(error, LostPeerError):
        return Ending("lost", os.getpid(), cause(error))
    details = ""
    if not isinstance(error, TrainingFault):
        details = "".join(traceback.format_exception(error))
        print(redact.secrets(details), file=sys.stderr, flush=True)
    return Ending("failed", os.getpid(), cause(error), details)


if __name__ == "__main__":
    main()
