"""What programs get from the server."""

import asyncio
import concurrent.futures
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import fastapi
import gradio_client
import httpx
import numpy as np
import pytest

from demo.app import mount_page  # before gradio's own modules: it turns the analytics off
from demo.photos.limits import Limits
from demo.server.http_server import running
from enhancer.photo.io import read_photo, write_photo
from tests.helpers.demo_page import FakeEnhancer, as_file, inside, serving, write_gradient
from tests.helpers.demo_page import call as begin

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def address():
    with serving(FakeEnhancer(), limits=Limits(upload_megabytes=2, photos_per_batch=5)) as address:
        yield address


@pytest.fixture(scope="module")
def client(address, tmp_path_factory):
    client = gradio_client.Client(
        address, verbose=False, download_files=tmp_path_factory.mktemp("downloads")
    )
    yield client
    client.close()


@pytest.fixture
def photo(tmp_path) -> Path:
    return write_gradient(tmp_path / "kitchen.jpg", 130, 195)


def enhance(client: gradio_client.Client, path: Path, strength: float = 1.0) -> Path:
    return Path(client.predict(gradio_client.handle_file(str(path)), strength, api_name="/enhance"))


def test_the_result_has_the_photos_full_size_its_exif_and_its_name(client, photo):
    result = enhance(client, photo)
    made = read_photo(result)
    assert result.name == "kitchen_enhanced.jpg"
    assert b"Kitchen" in made.metadata.exif
    assert made.pixels.shape == (130, 195, 3)
    np.testing.assert_allclose(
        made.pixels.mean((0, 1)), 255 - read_photo(photo).pixels.mean((0, 1)), atol=1
    )


def test_strength_zero_returns_the_photo(client, photo):
    np.testing.assert_allclose(
        read_photo(enhance(client, photo, 0.0)).pixels, read_photo(photo).pixels, atol=8
    )


def test_a_strength_that_is_none_is_refused_in_words(client, photo):
    with pytest.raises(Exception, match="strength must be between 0 and 1, received 7"):
        enhance(client, photo, 7.0)


def test_a_file_that_is_no_photo_is_told_so_in_words(client, tmp_path):
    (tmp_path / "holiday.jpg").write_text("no photo")
    with pytest.raises(Exception, match=r"^holiday\.jpg is not a photo but a text file") as told:
        enhance(client, tmp_path / "holiday.jpg")
    assert "/" not in str(told.value)


def test_an_unexpected_failure_shows_no_detail(client, tmp_path, caplog):
    write_photo(tmp_path / "grey.png", np.full((20, 30, 3), 128, np.uint8))
    with pytest.raises(Exception, match="could not be done; the server's log says why"):
        enhance(client, tmp_path / "grey.png")
    assert "RuntimeError" in caplog.text
    assert "secret detail" not in caplog.text
    assert "grey.png" not in caplog.text


def test_the_documented_examples_work(address, photo, tmp_path):
    text = (ROOT / "docs" / "demo.md").read_text()
    python = re.search(r"```python\n(from gradio_client.*?)```", text, re.DOTALL)[1]
    shell = re.search(r"```sh\n(server=.*?)```", text, re.DOTALL)[1]
    for program in ([sys.executable, "-c", python], ["bash", "-ec", shell]):
        program[-1] = program[-1].replace("http://127.0.0.1:7860", address.rstrip("/"))
        ran = subprocess.run(program, cwd=photo.parent, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
    made = read_photo(tmp_path / "kitchen_enhanced.jpg")
    assert made.pixels.shape == (130, 195, 3)


def test_each_of_many_clients_gets_its_own_photo(address, tmp_path):
    def visit(number: int) -> list[float]:
        path = write_gradient(
            tmp_path / str(number) / "same_name.jpg", 60, 90, blue=20 + 25 * number
        )
        client = gradio_client.Client(
            address, verbose=False, download_files=tmp_path / f"down{number}"
        )
        try:
            return [
                float(read_photo(enhance(client, path)).pixels[..., 2].mean()) for _ in range(2)
            ]
        finally:
            client.close()

    for number in range(3):
        (tmp_path / str(number)).mkdir()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        results = list(pool.map(visit, range(3)))
    for number, blues in enumerate(results):
        np.testing.assert_allclose(blues, 255 - (20 + 25 * number), atol=2)


def upload(address: str, path: Path, **options) -> httpx.Response:
    return httpx.post(
        f"{address}gradio_api/upload", files={"files": (path.name, path.read_bytes())}, **options
    )


def call(address: str, data: list) -> tuple[int, str]:
    """Return the status and the events of a call of the interface, as text."""
    started = httpx.post(f"{address}gradio_api/call/enhance", json={"data": data})
    if started.status_code != 200:
        return started.status_code, started.text
    return 200, httpx.get(
        f"{address}gradio_api/call/enhance/{started.json()['event_id']}", timeout=60
    ).text


def test_no_answer_holds_a_path_of_the_server(address, photo, tmp_path):
    (tmp_path / "bad.jpg").write_text("no photo")
    uploaded = [upload(address, path) for path in (photo, tmp_path / "bad.jpg")]
    answers = [answer.text for answer in uploaded]
    answers += [call(address, [as_file(answer.json()[0]), 1.0])[1] for answer in uploaded]
    pages = "|config|gradio_api/info|gradio_api/openapi.json|theme.css|health|manifest.json"
    pages += "|nothing|monitoring"
    pages += "|gradio_api/file=/etc/passwd|gradio_api/file=nothing|gradio_api/queue/status"
    answers += [httpx.get(f"{address}{page}").text for page in pages.split("|")]
    answers.append(call(address, [as_file("/etc/passwd"), 1.0])[1])
    answers.append(call(address, [as_file("/photos/nothing.jpg"), 1.0])[1])
    answers.append(call(address, ["nonsense"])[1])
    assert "/photos/" in "".join(answers)
    server_paths = {
        tempfile.gettempdir(),
        str(ROOT),
        str(Path.home()),
        sys.prefix,
        sys.base_prefix,
        "site-packages",
    }
    for answer in answers:
        for path in server_paths:
            assert path not in answer


@pytest.mark.parametrize("page", ["runs", "token", "vibe-code", "../monitoring/summary"])
def test_what_gradio_has_for_its_developers_is_not_there(address, page):
    assert httpx.get(f"{address}gradio_api/{page}").status_code == 404


def test_a_file_above_the_limit_is_answered_with_413(address, tmp_path):
    (tmp_path / "large.jpg").write_bytes(bytes(2_000_001))
    answer = upload(address, tmp_path / "large.jpg")
    assert answer.status_code == 413
    assert "2000000 bytes" in answer.text


def test_health_tells_status_model_and_queue(address):
    answer = httpx.get(f"{address}health")
    told = answer.json()
    assert (answer.status_code, told["status"], told["model"]) == (
        200,
        "ready",
        FakeEnhancer.description,
    )
    assert told["queue_length"] == 0


def test_the_page_is_there_before_its_model_and_photos_wait_for_it(tmp_path):
    photo, model = write_gradient(tmp_path / "a.jpg", 20, 30), concurrent.futures.Future()
    with inside(model=model) as (server, _):

        async def visit() -> tuple[httpx.Response, httpx.Response, str]:
            async with server.client() as client:
                page, health = await client.get("/"), await client.get("/health")
                files = {"files": (photo.name, photo.read_bytes())}
                handle = (await client.post("/gradio_api/upload", files=files)).json()[0]
                asyncio.get_running_loop().call_later(0.2, model.set_result, FakeEnhancer())
                return page, health, await begin(client, [as_file(handle), 1.0])

        page, health, events = server.run(visit())
    assert page.status_code == 200
    assert (health.status_code, health.json()["status"]) == (503, "warming")
    assert "a_enhanced.jpg" in events


def test_the_page_mounts_into_an_application_of_ones_own(photo, tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "files"))
    app = fastapi.FastAPI()
    app.get("/")(lambda: {"mine": True})
    mount_page(app, FakeEnhancer(), path="/enhance")
    with socket.create_server(("127.0.0.1", 0)) as listening, running(app, listening):
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert httpx.get(address).json() == {"mine": True}
        assert httpx.get(f"{address}/enhance/gradio_api/file=/etc/passwd").status_code == 404
        assert str(tmp_path) not in httpx.get(f"{address}/enhance/").text
        client = gradio_client.Client(
            f"{address}/enhance/", verbose=False, download_files=tmp_path / "downloads"
        )
        assert read_photo(enhance(client, photo)).pixels.shape == (130, 195, 3)
        client.close()
