"""Signals end the program only where nothing is lost by it."""

import os
import signal

import pytest

from enhancer.interruption import NOTHING, SAVE, STOP, Interrupted, SaveRequests, signals_raise


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signal_outside_training_raises_at_once(number):
    with pytest.raises(Interrupted, match=number.name) as interrupted, signals_raise():
        os.kill(os.getpid(), number)
    assert interrupted.value.signal_number == number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signal_in_training_is_noted_and_raised_when_nobody_acts_on_it(number, capsys):
    requests = SaveRequests(save_minutes=10)
    reached = False
    with pytest.raises(Interrupted), requests.noting_signals():
        assert requests.now() == NOTHING
        os.kill(os.getpid(), number)
        assert requests.now() == STOP
        reached = True
    assert reached
    assert f"{number.name}: saving a checkpoint" in capsys.readouterr().err


def test_second_ctrl_c_does_not_wait(capsys):
    with pytest.raises(KeyboardInterrupt), SaveRequests(save_minutes=10).noting_signals():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


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
