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


def test_sigterm_waits_too_where_it_is_an_interrupt_and_is_left_alone_where_it_kills() -> None:
    with held_back():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with held_back() as let_through:
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(KeyboardInterrupt):
                let_through()
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
