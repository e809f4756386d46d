"""A program that is being compiled can be stopped, and says why it takes long."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from enhancer.system import compiler
from enhancer.system.interruption import Interrupted, SaveRequests

ROOT = Path(__file__).resolve().parents[2]
COMPILE = """
import time
from enhancer.system.compiler import call_interruptibly
from enhancer.system.interruption import SaveRequests
def compile():
    print("compiling", flush=True)
    time.sleep(60)
requests = SaveRequests(save_minutes=10)
try:
    with requests.noting_signals(), requests.obeyed_at_once():
        call_interruptibly(compile, lambda: None)
finally:
    print("tidied up")
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_signal_does_not_wait_for_the_compiler(number, code):
    process = subprocess.Popen(
        [sys.executable, "-c", COMPILE],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "compiling\n"
    sent = time.monotonic()
    process.send_signal(number)
    printed, errors = process.communicate(timeout=50)
    assert time.monotonic() - sent < 5
    assert process.returncode == code
    assert printed == "tidied up\n"
    assert errors == f"\n{number.name}: stopping; nothing is lost.\n"


def test_signal_that_came_before_stops_what_would_be_compiled():
    requests = SaveRequests(save_minutes=10)

    def train():
        with requests.noting_signals():
            signal.raise_signal(signal.SIGTERM)
            with requests.obeyed_at_once():
                pytest.fail("compiled")

    with pytest.raises(Interrupted, match="SIGTERM"):
        train()


def test_slow_call_is_explained_and_its_result_returned(monkeypatch):
    monkeypatch.setattr(compiler, "SLOW_SECONDS", 0.01)
    said = []
    result = compiler.call_interruptibly(lambda: time.sleep(0.1) or 7, lambda: said.append("slow"))
    assert (result, said) == (7, ["slow"])


def test_error_of_the_call_is_raised():
    with pytest.raises(ZeroDivisionError):
        compiler.call_interruptibly(lambda: 1 // 0, lambda: None)
