"""The command: starts, says why it cannot, and stops."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import gradio_client
import httpx
import pytest

from demo import __main__ as command
from demo.server.temporary_files import private_folder
from enhancer.inference import enhancer as inference
from enhancer.system import compiler
from tests.helpers.demo_page import FakeEnhancer, free_port, write_gradient

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def photo(tmp_path) -> Path:
    return write_gradient(tmp_path / "kitchen.jpg", 130, 195)


def enhance(client: gradio_client.Client, path: Path, strength: float = 1.0) -> Path:
    return Path(client.predict(gradio_client.handle_file(str(path)), strength, api_name="/enhance"))


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
    retouches = False
    def warm_up(self, on_progress, keep_to_these):
        on_progress(1, 1)
    def find_edit(self, photo):
        print("IN HAND", flush=True)
        time.sleep(1.0)
        return Edit(photo, photo / 300)
inference.Enhancer.load = classmethod(lambda cls, workdir: Slow())
sys.exit(main(sys.argv[1:]))
"""


def test_a_stopping_server_finishes_the_photo_in_hand_refuses_others_and_connects_to_nobody(
    photo, tmp_path
):
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "GRADIO_TEMP_DIR": ""}
    (tmp_path / "tmp").mkdir()
    (tmp_path / "run" / "finetune" / "checkpoints").mkdir(parents=True)
    server = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _SLOW_SERVER,
            "--workdir",
            str(tmp_path / "run"),
            "--port",
            str(port),
        ],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(iter(server.stdout.readline, "")))
    reader.start()
    try:
        _wait_for(lambda: any("The page is open" in line for line in lines), 180)
        client = gradio_client.Client(address, verbose=False, download_files=tmp_path / "downloads")
        in_hand = client.submit(gradio_client.handle_file(str(photo)), 1.0, api_name="/enhance")
        _wait_for(lambda: any("IN HAND" in line for line in lines), 30)
        server.send_signal(signal.SIGTERM)
        _wait_for(lambda: httpx.get(f"{address}health").status_code == 503, 5)
        with pytest.raises(Exception, match="is being stopped and takes no more photos"):
            enhance(client, photo)
        assert Path(in_hand.result(timeout=30)).name == "kitchen_enhanced.jpg"
        client.close()
        assert server.wait(timeout=30) == 0
    finally:
        server.kill()
        server.wait()
        reader.join()
        server.stdout.close()
    output = "".join(lines)
    assert "OUTSIDE" not in output
    assert "enhanced 195 x 130" in output
    assert "kitchen" not in output
    assert "Traceback" not in output
    assert list((tmp_path / "tmp").iterdir()) == []


def test_without_a_model_the_command_says_what_to_run(tmp_path, capsys):
    assert command.main(["--workdir", str(tmp_path / "nowhere")]) == 2
    assert "nowhere does not exist; name the folder of a run" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(monkeypatch, capsys):
    monkeypatch.setattr(inference.Enhancer, "load", lambda workdir: FakeEnhancer())
    monkeypatch.setattr(compiler, "enable_cache", lambda: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert command.main(["--workdir", "unused", "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot be opened" in capsys.readouterr().err


def test_half_a_login_stops_the_command(monkeypatch, capsys):
    monkeypatch.delenv("ENHANCER_DEMO_PASSWORD", raising=False)
    assert command.main(["--workdir", "unused", "--user", "anna"]) == 2
    assert "There is a user and no password" in capsys.readouterr().err


def _wait_for(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_a_port_that_a_starting_server_has_taken_is_named(monkeypatch, capsys):
    monkeypatch.setattr(inference.Enhancer, "load", lambda workdir: FakeEnhancer())
    monkeypatch.setattr(compiler, "enable_cache", lambda: None)
    with socket.create_server(
        ("127.0.0.1", 0)
    ) as taken:  # as it is while the first server still compiles
        assert command.main(["--workdir", "unused", "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot be opened" in capsys.readouterr().err


def test_a_port_that_is_none_is_named(monkeypatch, capsys):
    monkeypatch.setattr(inference.Enhancer, "load", lambda workdir: FakeEnhancer())
    monkeypatch.setattr(compiler, "enable_cache", lambda: None)
    assert command.main(["--workdir", "unused", "--port", "70000"]) == 2
    assert "port 70000 of 127.0.0.1 cannot be opened" in capsys.readouterr().err


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
