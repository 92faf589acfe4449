"""AWS for the tests: moto's server with a small HTTP server in front of it.

It passes calls on, records them, injects faults by the test's script, answers the few operations
that moto lacks, and lets a job or an endpoint go through the statuses that the test names.
"""

from front.calls import Call
from front.faults import Fault, dropped, expired, failing, late, lost, refused, throttled
from front.server import Front

__all__ = [
    "Call",
    "Fault",
    "Front",
    "dropped",
    "expired",
    "failing",
    "late",
    "lost",
    "refused",
    "throttled",
]
