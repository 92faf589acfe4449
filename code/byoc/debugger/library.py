"""smdebug, imported as it must be on protobuf 4 and newer."""

from __future__ import annotations

import functools
import logging
import os
import warnings

_PROTOBUF = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"


class LibraryError(Exception):
    """smdebug cannot be used here; the message is one line."""


@functools.cache
def load() -> None:
    """Imports smdebug; its own log lines are left out, its profiler stays off.

    Its generated code is of protobuf 3: it needs protobuf's slow form in Python, for this process.
    Raises ``LibraryError`` where it is missing, or where the fast form is in use already.
    """
    before = os.environ.get(_PROTOBUF)
    os.environ[_PROTOBUF] = "python"
    # We profile ourselves: smdebug's profiler stops at PyTorch 1.x.
    os.environ.setdefault("SMPROFILER_CONFIG_PATH", os.devnull)
    os.environ.setdefault("SMDEBUG_LOG_LEVEL", "critical")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of protobuf, about its own form
            import smdebug.core.tfevent.proto.event_pb2
            import smdebug.pytorch  # noqa: F401
    except ImportError as error:
        raise LibraryError(f"smdebug cannot be imported: {error}") from error
    except TypeError as error:
        raise LibraryError(
            f"smdebug needs {_PROTOBUF}=python from the start of the process"
        ) from error
    finally:
        # Child processes are not to have the slow form.
        if before is None:
            del os.environ[_PROTOBUF]
        else:
            os.environ[_PROTOBUF] = before
    logging.getLogger("smdebug").setLevel(logging.CRITICAL)
