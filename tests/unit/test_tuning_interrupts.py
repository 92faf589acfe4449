"""Ctrl-C during a tuning waits for a moment between two transactions."""

from __future__ import annotations

import signal

import pytest

from byoc.tuning.interrupts import held_back


def test_ctrl_c_waits_until_it_suits_and_a_second_one_does_not() -> None:
    before = signal.getsignal(signal.SIGINT)
    with held_back() as let_through:
        let_through()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            let_through()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
