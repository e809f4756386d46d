"""The command: starts, says why it cannot, and stops."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import gradio_client
import httpx
import pytest

from demo import __main__ as command
from demo.server.stop_signal import StopSignal
from demo.server.temporary_files import private_folder
from enhancer.inference import enhancer as inference
from enhancer.network.trained import CheckpointError
from enhancer.system import compiler
from tests.helpers.demo_page import write_gradient
from tests.helpers.demo_process import ROOT, running_command, wait_for

_SLOW_SERVER = """
import sys, time
def watch(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        if not arguments[1][0].startswith("127."):
            print("OUTSIDE", arguments[1], flush=True)
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost", None):
        print("OUTSIDE", arguments[0], flush=True)
sys.addaudithook(watch)
from demo.__main__ import main
from enhancer.inference import enhancer as inference
from enhancer.inference.edit import Edit
class Slow:
    description = "takes its time (for tests)"
    def warm_up(self, on_progress, keep_to_these):
        on_progress(1, 1)
    def find_edit(self, photo):
        print("IN HAND", flush=True)
        time.sleep(1.0)
        return Edit(photo, photo / 300)
inference.Enhancer.load = classmethod(lambda cls, workdir: Slow())
sys.exit(main(sys.argv[1:]))
"""


def answers(address: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return bool(httpx.get(f"{address}health").status_code)
    return False


def test_a_stopping_server_finishes_the_photo_in_hand_refuses_others_and_connects_to_nobody(
    tmp_path,
):
    photo = write_gradient(tmp_path / "kitchen.jpg", 130, 195)
    (temporary := tmp_path / "tmp").mkdir()
    with running_command(temporary, "-c", _SLOW_SERVER) as (server, address, lines):
        wait_for(lambda: any("The model is ready" in line for line in lines), 180)
        client = gradio_client.Client(address, verbose=False, download_files=tmp_path / "downloads")
        sent = gradio_client.handle_file(str(photo))
        in_hand = client.submit(sent, 1.0, api_name="/enhance")
        wait_for(lambda: any("IN HAND" in line for line in lines), 30)
        server.send_signal(signal.SIGTERM)
        wait_for(lambda: httpx.get(f"{address}health").json()["status"] == "stopping", 5)
        with pytest.raises(Exception, match="is being stopped and takes no more photos"):
            client.predict(sent, 1.0, api_name="/enhance")
        assert Path(in_hand.result(timeout=30)).name == "kitchen_enhanced.jpg"
        client.close()
        assert server.wait(timeout=30) == 0
    output = "".join(lines)
    assert "OUTSIDE" not in output
    assert "enhanced 195 x 130" in output
    assert "kitchen" not in output
    assert "Traceback" not in output
    assert list(temporary.iterdir()) == []


def test_a_server_that_is_stopped_while_it_starts_leaves_nothing_behind(tmp_path):
    with running_command(tmp_path) as (server, address, lines):
        wait_for(lambda: answers(address), 60)
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=120) == 0
    assert "Stopped." in lines[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_signal_is_noted_and_a_second_one_ends_the_process_at_once():
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_told
    program = "import os; from demo.server.stop_signal import StopSignal\nwith StopSignal():\n"
    program += "    for _ in 'ab': os.kill(os.getpid(), 2)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 130


@pytest.fixture
def no_cache(monkeypatch):
    """The command would have the compiler's cache in the user's home."""
    monkeypatch.setattr(compiler, "enable_cache", lambda: None)


def test_without_a_model_the_command_says_what_to_run(tmp_path, capsys):
    assert command.main(["--workdir", str(tmp_path / "nowhere"), "--port", "0"]) == 2
    told = capsys.readouterr()
    assert "nowhere does not exist; name the folder of a run" in told.err
    assert "The page is open" not in told.out


def test_a_model_that_cannot_be_loaded_ends_the_command_with_its_sentence(
    monkeypatch, capsys, no_cache
):
    def load(workdir):
        raise CheckpointError("The weights are damaged.")

    monkeypatch.setattr(inference.Enhancer, "load", load)
    assert command.main(["--port", "0"]) == 2
    told = capsys.readouterr()
    assert told.err == "error: The weights are damaged.\n"
    assert "The page is open" in told.out


def test_a_port_that_is_taken_is_named(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert command.main(["--port", str(taken.getsockname()[1])]) == 2
    assert "cannot be opened" in capsys.readouterr().err


def test_a_port_that_does_not_exist_is_named(capsys):
    assert command.main(["--port", "70000"]) == 2
    assert "port 70000 of 127.0.0.1 cannot be opened" in capsys.readouterr().err


def test_half_a_login_stops_the_command(monkeypatch, capsys):
    monkeypatch.delenv("ENHANCER_DEMO_PASSWORD", raising=False)
    assert command.main(["--workdir", "unused", "--user", "anna"]) == 2
    assert "There is a user and no password" in capsys.readouterr().err


def test_limits_that_admit_nobody_are_usage_errors(capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["--workdir", "unused", "--photos-at-once", "0"])
    assert ended.value.code == 2
    assert "photos_at_once must be at least 1, received 0" in capsys.readouterr().err


def test_the_folder_of_a_server_is_private_and_deleted_and_so_are_those_of_killed_servers(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    (tmp_path / f"enhancer-demo-{gone.stdout.strip()}-x").mkdir()
    with private_folder() as folder:
        assert os.stat(folder).st_mode & 0o077 == 0
        assert [path.resolve() for path in tmp_path.iterdir()] == [folder]
    assert list(tmp_path.iterdir()) == []
