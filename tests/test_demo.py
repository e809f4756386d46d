"""The page, served on this computer: through its programming interface, and in a real browser where there is one."""

import gc
import io
import os
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before gradio is imported

import gradio_client
from playwright.sync_api import sync_playwright

from demo import __main__ as command
from demo.app import build_page, launch_options
from enhancer import compilation, inference
from enhancer.photo_io import read_photo, write_photo

# Gradio and its client leave sockets and event loops to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]


class FakeEnhancer:
    """Inverts photos; breaks on photos of one colour."""

    description = "inverts photos (for tests)"

    def enhance(self, photo: np.ndarray) -> np.ndarray:
        if photo.min() == photo.max():
            raise RuntimeError(f"secret detail in {__file__}")
        return 255 - photo


@pytest.fixture(scope="module", autouse=True)
def collect_garbage_here():
    """Let what the servers leave behind be collected while this module's filters hold, and not at the end of all tests."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with socket.socket() as free, pytest.MonkeyPatch.context() as patch:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        page = build_page(FakeEnhancer())
        _, url, _ = page.launch(**launch_options("127.0.0.1", port), prevent_thread_lock=True)
        yield url
        page.close()


@pytest.fixture(scope="module")
def client(address, tmp_path_factory):
    client = gradio_client.Client(address, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))
    yield client
    client.close()


@pytest.fixture
def photo(tmp_path) -> Path:
    """A photo larger than the preview, with EXIF."""
    y, x = np.mgrid[0:1:1300j, 0:1:1950j]
    pixels = np.stack([60 + 150 * x, 50 + 130 * y, 200 - 120 * x], axis=-1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x010E] = "Kitchen"  # ImageDescription
    write_photo(tmp_path / "kitchen.jpg", pixels, exif=exif.tobytes())
    return tmp_path / "kitchen.jpg"


def enhance(client: gradio_client.Client, path: Path) -> tuple:
    return client.predict(gradio_client.handle_file(str(path)), api_name="/enhance")


def test_the_result_has_the_photos_full_size_its_exif_and_its_name(client, photo):
    _, _, download = enhance(client, photo)
    result = Path(download["value"])
    assert result.name == "kitchen_enhanced.jpg"
    made = read_photo(result)
    assert b"Kitchen" in (made.exif or b"")
    np.testing.assert_allclose(made.pixels.mean((0, 1)), 255 - read_photo(photo).pixels.mean((0, 1)), atol=1)
    assert made.pixels.shape == (1300, 1950, 3)


def test_the_previews_are_small_jpegs_of_before_and_after(client, photo):
    _, comparison, _ = enhance(client, photo)
    before, after = (read_photo(path).pixels for path in comparison["value"])
    assert before.shape == after.shape == (1067, 1600, 3)
    np.testing.assert_allclose(after.mean((0, 1)), 255 - before.mean((0, 1)), atol=1)


def test_the_message_names_the_photo_and_its_size(client, photo):
    message, _, _ = enhance(client, photo)
    assert re.match(r"\*\*kitchen.jpg\*\*, 1950 × 1300 pixels, in \d+\.\d s\.", message["value"])


def test_a_file_that_is_no_photo_is_told_so_without_the_servers_paths(client, tmp_path):
    (tmp_path / "holiday.jpg").write_text("no photo")
    message, comparison, download = enhance(client, tmp_path / "holiday.jpg")
    assert "holiday.jpg is not a photo but a text file" in message["value"]
    assert "/" not in message["value"]
    assert (comparison["visible"], download["visible"]) == (False, False)


def test_an_unexpected_failure_shows_no_detail(client, tmp_path, caplog):
    write_photo(tmp_path / "grey.png", np.full((20, 30, 3), 128, np.uint8))
    message, _, _ = enhance(client, tmp_path / "grey.png")
    assert message["value"] == "grey.png could not be enhanced; the server's log says why."
    assert "secret detail" in caplog.text


def test_the_originals_of_the_results_are_gone_when_the_photo_is_done(client, photo, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    enhance(client, photo)
    assert list((tmp_path / "temporary").glob("enhancer-*")) == []


def test_without_a_model_the_command_says_what_to_run(tmp_path, capsys):
    assert command.main(["--workdir", str(tmp_path / "nowhere")]) == 2
    assert "nowhere does not exist; train one with" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(monkeypatch, capsys):
    monkeypatch.setattr(inference.Enhancer, "load", lambda workdir: FakeEnhancer())
    monkeypatch.setattr(compilation, "enable_cache", lambda: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert command.main(["--workdir", "unused", "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot be opened" in capsys.readouterr().err


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def test_upload_enhance_download_in_a_browser_with_no_outside_connection(browser, address, photo):
    page = browser.new_page()
    outside = []
    page.on("request", lambda request: outside.append(request.url) if _is_outside(request.url, address) else None)
    page.goto(address)
    assert page.locator("#enhance").is_disabled()
    page.set_input_files("#upload input[type=file]", photo)
    page.click("#enhance:not([disabled])")
    page.wait_for_selector("#comparison img")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "kitchen_enhanced.jpg"
    with Image.open(io.BytesIO(Path(download.value.path()).read_bytes())) as image:
        image.load()
        assert image.size == (1950, 1300)
    assert outside == []
    page.close()


def test_a_bad_file_is_told_on_the_page_and_a_good_one_after_it_works(browser, address, photo, tmp_path):
    (tmp_path / "bad.jpg").write_text("no photo")
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(address)
    page.set_input_files("#upload input[type=file]", tmp_path / "bad.jpg")
    page.click("#enhance:not([disabled])")
    page.wait_for_selector("#message:has-text('bad.jpg is not a photo')")
    page.click("#upload button[aria-label='Clear']")
    page.set_input_files("#upload input[type=file]", photo)
    page.click("#enhance:not([disabled])")
    page.wait_for_selector("#message:has-text('1950 × 1300 pixels')")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def _is_outside(url: str, address: str) -> bool:
    return not url.startswith((address, "data:", "blob:"))
