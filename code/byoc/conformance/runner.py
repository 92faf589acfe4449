"""Runs clauses against an image, independent ones side by side, and times them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from byoc.conformance.clauses import Clause
from byoc.conformance.engine import EngineError, waited
from byoc.conformance.image import Image
from byoc.conformance.outcome import Failed, NotApplicable, NotTried, Outcome, TooSlow, Verdict

TRIES = 3


def check(
    image: Image, clauses: Sequence[Clause], tell: Callable[[Outcome], None] = lambda _: None
) -> list[Outcome]:
    """Every clause's outcome, in the clauses' order; ``tell`` hears of each as it is there.

    A clause that was kept, but too late, is tried again with nothing beside it, ``TRIES`` times at
    most: a machine that does other work too makes late what is not.
    """
    late: list[Clause] = []
    outcomes: dict[str, Outcome] = {}
    # One thread for each clause: the engine's slots limit what runs, most threads only wait.
    pool = ThreadPoolExecutor(max_workers=max(1, len(clauses)))
    try:
        futures = {pool.submit(_try, image, it): it for it in clauses}
        for future in as_completed(futures):
            outcome, is_late = future.result()
            if is_late:
                late.append(futures[future])
                continue
            outcomes[outcome.id] = outcome
            tell(outcome)
        for clause in late:
            for _ in range(TRIES):
                outcome, is_late = pool.submit(_try, image.anew(), clause).result()
                if not is_late:
                    break
            outcomes[outcome.id] = outcome
            tell(outcome)
    except BaseException:
        # The threads wait for containers: they end with them.
        image.engine.close()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return [outcomes[it.id] for it in clauses]


def passed(outcomes: Iterable[Outcome]) -> bool:
    """False where any clause is broken; one that was not tried breaks nothing."""
    return all(it.verdict is not Verdict.FAIL for it in outcomes)


def _try(image: Image, clause: Clause) -> tuple[Outcome, bool]:
    """The outcome, and whether the image was only late."""
    start, waited_before = time.monotonic(), waited.get()
    seen = cause = ""
    is_late = False
    try:
        verdict, seen = Verdict.PASS, clause.check(image)
    except Failed as fault:
        verdict, seen, cause = Verdict.FAIL, fault.seen, str(fault)
        is_late = isinstance(fault, TooSlow)
        if is_late:
            cause += f" (load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)"
    except NotApplicable as why:
        verdict, seen = Verdict.NOT_APPLICABLE, str(why)
    except NotTried as why:
        verdict, seen = Verdict.NOT_TRIED, str(why)
    except EngineError:
        raise
    except Exception as error:
        # The check's own fault, or the engine's: it says nothing of the image.
        verdict, seen = (
            Verdict.NOT_TRIED,
            f"the check itself failed: {type(error).__name__}: {error}",
        )
    seconds = time.monotonic() - start - (waited.get() - waited_before)
    remedy = clause.remedy if verdict is Verdict.FAIL else ""
    outcome = Outcome(clause.id, clause.asked, verdict, seen, cause, remedy, clause.page, seconds)
    return outcome, is_late
