"""What goes through the model together, and who waits for whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from byoc.serving.batching import DELAY, Batcher, Gathering, Limits, Row


def row(number: int, length: int = 4) -> Row:
    return Row([number] * length, [0] * length)


class Model:
    """Says each row's number and length; computes only when it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: list[int] = []
        self.gate = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)

    def __call__(self, rows: list[Row], threads: int) -> list[list[float]]:
        assert [len(it) for it in rows] == sorted(len(it) for it in rows)
        self.batches.append([it.ids[0] for it in rows])
        self.threads.append(threads)
        self.begun.release()
        assert self.gate.acquire(timeout=60)
        if any(it.ids[0] < 0 for it in rows):
            raise ValueError("a negative row")
        return [[float(it.ids[0]), float(len(it))] for it in rows]


@pytest.fixture
def model() -> Model:
    return Model()


def test_a_lone_request_starts_at_once_on_all_threads(model: Model) -> None:
    batcher = Batcher(model, 2, 4, Limits(delay=300.0))
    model.gate.release()
    begin = time.monotonic()
    assert batcher.scores([row(7)]).scores == [[7.0, 4.0]]
    assert time.monotonic() - begin < 100
    assert model.threads == [4]


def test_what_comes_while_it_computes_goes_together(model: Model) -> None:
    batcher = Batcher(model, 1, 1)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(batcher.scores, [row(0)])
        assert model.begun.acquire(timeout=60)
        others = [pool.submit(batcher.scores, [row(number)]) for number in range(1, 6)]
        wait_until(lambda: len(batcher._jobs) == 5)
        for _ in range(2):
            model.gate.release()
        assert first.result(60).requests == 1
        for number, other in enumerate(others, 1):
            assert other.result(60).scores == [[float(number), 4.0]]
            assert other.result(60).requests == 5
    assert [len(batch) for batch in model.batches] == [1, 5]


def test_executors_share_what_waits_and_the_cores(model: Model) -> None:
    batcher = Batcher(model, 2, 2, Limits(tokens=300))
    with ThreadPoolExecutor(64) as pool:
        holders = []
        for number in range(2):  # one after the other: together they could be one batch
            holders.append(pool.submit(batcher.scores, [row(100 + number, 200)]))
            assert model.begun.acquire(timeout=60)
        others = [pool.submit(batcher.scores, [row(number)]) for number in range(40)]
        wait_until(lambda: len(batcher._jobs) == 40)
        for _ in range(50):
            model.gate.release()
        for it in [*holders, *others]:
            it.result(60)
    assert sorted(model.threads[:2]) == [1, 2]
    assert sum(len(batch) for batch in model.batches) == 42


@pytest.mark.parametrize(("running", "is_begun"), [(200, False), (250, True)])
def test_what_fits_one_batch_is_not_begun_beside_another(
    model: Model, running: int, is_begun: bool
) -> None:
    """Two small batches side by side would read all weights twice."""
    batcher = Batcher(model, 2, 2, Limits(tokens=256))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(batcher.scores, [row(0, running)])
        assert model.begun.acquire(timeout=60)
        second = pool.submit(batcher.scores, [row(1, 20)])
        assert model.begun.acquire(timeout=60 if is_begun else 0.3) is is_begun
        for _ in range(2):
            model.gate.release()
        assert first.result(60).scores == [[0.0, float(running)]]
        assert second.result(60).scores == [[1.0, 20.0]]


def test_what_one_executor_leaves_another_takes(model: Model) -> None:
    """The first one sleeps while the second computes: nothing else would wake it."""
    batcher = Batcher(model, 2, 2, Limits(tokens=256, delay=0.0))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(batcher.scores, [row(0, 200)])
        assert model.begun.acquire(timeout=60)
        second = pool.submit(batcher.scores, [row(1, 100)])
        assert model.begun.acquire(timeout=60)
        model.gate.release()
        wait_until(lambda: first.done() or second.done())
        wait_until(lambda: len(batcher._idle) == 1)
        third = pool.submit(batcher.scores, [row(2, 20)])
        wait_until(lambda: len(batcher._jobs) == 1)
        for _ in range(2):
            model.gate.release()
        assert [it.result(60).scores[0][0] for it in (first, second, third)] == [0, 1, 2]


def test_those_that_share_the_cores_share_them_from_the_start(model: Model) -> None:
    batcher = Batcher(model, 2, 2)
    model.gate.release()
    batcher.scores([row(0)])
    wait_until(lambda: len(batcher._idle) == 2)
    with ThreadPoolExecutor() as pool:
        found = pool.submit(batcher.scores, [row(number, 100) for number in range(4)])
        for _ in range(3):  # the first one's beginning among them
            assert model.begun.acquire(timeout=60)
        for _ in range(2):
            model.gate.release()
        found.result(60)
    assert model.threads == [2, 1, 1]


def test_only_the_first_executor_ever_computes_on_several_threads(model: Model) -> None:
    """OpenMP's threads are so many for each thread that ever had several."""
    names: dict[str, set[int]] = {}

    def compute(rows: list[Row], threads: int) -> list[list[float]]:
        names.setdefault(threading.current_thread().name, set()).add(threads)
        time.sleep(0.001)  # long enough that others come meanwhile; nothing is asserted of it
        return [[0.0, 0.0] for _ in rows]

    batcher = Batcher(compute, 3, 3)
    with ThreadPoolExecutor(32) as pool:
        for _ in pool.map(lambda number: batcher.scores([row(number, 40)]), range(300)):
            pass
    assert names.pop("executor 0") >= {1}
    assert set().union(*names.values()) == {1}


def test_no_batch_exceeds_its_limits(model: Model) -> None:
    batcher = Batcher(model, 1, 1, Limits(requests=3, tokens=10))
    for _ in range(40):
        model.gate.release()
    rows = [row(number, length) for number, length in enumerate([1, 30, 2, 9, 4, 4, 4])]
    found = batcher.scores(rows).scores
    assert found == [[float(number), float(len(it))] for number, it in enumerate(rows)]
    lengths = [len(it) for it in rows]
    assert all(
        sum(lengths[number] for number in batch) <= 10 or len(batch) == 1 for batch in model.batches
    )


def test_a_large_request_holds_no_small_one_up(model: Model) -> None:
    batcher = Batcher(model, 1, 1, Limits(tokens=8))
    with ThreadPoolExecutor() as pool:
        large = pool.submit(batcher.scores, [row(1) for _ in range(1000)])
        assert model.begun.acquire(timeout=60)
        small = pool.submit(batcher.scores, [row(2)])
        wait_until(lambda: len(batcher._jobs) == 2)
        for _ in range(4):
            model.gate.release()
        assert small.result(60).scores == [[2.0, 4.0]]
        assert not large.done()
        for _ in range(1000):
            model.gate.release()
        assert len(large.result(60).scores) == 1000


def test_a_row_without_room_is_the_next_batchs_first(model: Model) -> None:
    batcher = Batcher(model, 1, 1, Limits(tokens=10, delay=0.0))
    with ThreadPoolExecutor() as pool:
        found = [pool.submit(batcher.scores, [row(0)])]
        assert model.begun.acquire(timeout=60)
        for number, length in enumerate([4, 9, 4, 4, 4], 1):
            found.append(pool.submit(batcher.scores, [row(number, length)]))
            wait_until(lambda count=number: len(batcher._jobs) == count)  # type: ignore[misc]
        for _ in range(10):
            model.gate.release()
        for it in found:
            it.result(60)
    assert model.batches == [[0], [1], [2], [3, 4], [5]]


def test_after_a_batch_its_company_gathers_again(model: Model) -> None:
    batcher = Batcher(model, 2, 2, Limits(delay=300.0))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(batcher.scores, [row(0)])
        assert model.begun.acquire(timeout=60), "a lone request waited"
        others = [pool.submit(batcher.scores, [row(number)]) for number in (1, 2)]
        wait_until(lambda: len(batcher._jobs) == 2)
        model.gate.release()
        first.result(60)
        assert not model.begun.acquire(timeout=0.3), "the first one's next request is missing"
        others.append(pool.submit(batcher.scores, [row(3)]))
        assert model.begun.acquire(timeout=60)
        model.gate.release()
        assert [it.result(60).requests for it in others] == [3] * 3


def test_those_who_do_not_come_again_are_not_waited_for(model: Model) -> None:
    batcher = Batcher(model, 2, 2)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(batcher.scores, [row(0)])
        assert model.begun.acquire(timeout=60)
        second = pool.submit(batcher.scores, [row(1)])
        wait_until(lambda: len(batcher._jobs) == 1)
        for _ in range(2):
            model.gate.release()
        assert first.result(60).requests == second.result(60).requests == 1


def test_a_failure_is_told_to_those_that_had_part_in_it(model: Model) -> None:
    batcher = Batcher(model, 1, 1)
    for _ in range(2):
        model.gate.release()
    with pytest.raises(ValueError, match="a negative row"):
        batcher.scores([row(-1)])
    assert batcher.scores([row(3)]).scores == [[3.0, 4.0]]


def test_lone_requests_meet_the_same_executor() -> None:
    executors = set()

    def compute(rows: list[Row], _threads: int) -> list[list[float]]:
        executors.add(threading.current_thread().name)
        return [[0.0] for _ in rows]

    batcher = Batcher(compute, 4, 4)
    batcher.scores([row(1)])
    wait_until(lambda: len(batcher._idle) == 4)
    executors.clear()
    for _ in range(10):
        batcher.scores([row(1)])
        wait_until(lambda: len(batcher._idle) == 4)
    assert executors == {"executor 0"}


def test_no_rows_need_no_model(model: Model) -> None:
    assert Batcher(model, 1, 1).scores([]).scores == []


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_whom_it_does_not_pay_to_wait_for_is_waited_for_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("byoc.serving.batching.time.monotonic", lambda: now)
    gathering = Gathering(Limits())

    def waits(batches: int, come: int) -> list[bool]:
        """After each of so many batches of 4 requests, of whose senders so many ask again."""
        found = []
        for _ in range(batches):
            gathering.begin(now - 0.01, 4, 4)
            found.append(gathering.left(1) > 0)
            for _ in range(come):
                gathering.arrived(now)
            gathering.end()
        return found

    assert waits(20, come=4) == [True] * 20
    assert sum(waits(100, come=2)) == 7, "after 1, 3, 7, 15, 31, 31 without"
    assert sum(waits(100, come=3)) > 60
    gathering.begin(now - 0.01, 1, 1)
    assert gathering.left(1) == 0, "a lone one"


def test_nobody_waits_longer_than_half_a_batch() -> None:
    for lasted, longest in ((0.004, 0.002), (10.0, DELAY)):
        gathering = Gathering(Limits())
        gathering.begin(time.monotonic() - lasted, 4, 4)
        assert 0 < gathering.left(0) <= longest + 0.0001
        assert gathering.left(4) == 0
