"""Signals end the program only where nothing is lost by it."""

import os
import signal

import pytest

from enhancer.system.interruption import (
    NOTHING,
    SAVE,
    STOP,
    Interrupted,
    SaveRequests,
    signals_raise,
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signal_outside_training_raises_at_once(number):
    with pytest.raises(Interrupted, match=number.name) as interrupted, signals_raise():
        os.kill(os.getpid(), number)
    assert interrupted.value.signal_number == number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signal_in_training_is_noted_and_raised_when_nobody_acts_on_it(number, capfd):
    requests, heard = SaveRequests(save_minutes=10), []

    def train():
        with requests.noting_signals():
            heard.append(requests.now())
            os.kill(os.getpid(), number)
            heard.append(requests.now())

    with pytest.raises(Interrupted):
        train()
    assert heard == [NOTHING, STOP]
    assert f"{number.name}: saving a checkpoint" in capfd.readouterr().err


def test_second_ctrl_c_does_not_wait(capfd):
    def train():
        with SaveRequests(save_minutes=10).noting_signals():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train()


def test_save_is_due_after_the_minutes_and_not_right_after_a_save():
    requests = SaveRequests(save_minutes=0)
    assert requests.now() == SAVE
    requests = SaveRequests(save_minutes=1)
    requests.saved()
    assert requests.now() == NOTHING


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with SaveRequests(1).noting_signals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
