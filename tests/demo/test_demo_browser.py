"""The page in a real browser, where there is one."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from demo.photos.limits import Limits
from demo.server.credentials import Credentials
from tests.helpers.demo_page import CHROMIUM, QUIET, FakeEnhancer, serving, write_gradient
from tests.helpers.demo_process import ROOT, running_command, wait_for

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def enhancer():
    return FakeEnhancer()


@pytest.fixture(scope="module")
def address(enhancer):
    with serving(enhancer, limits=Limits(upload_megabytes=2)) as address:
        yield address


@pytest.fixture
def page(browser, address):
    """The page as a new visitor has it; its `hosts` are those that it asked for anything."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.hosts = set()
    page.on(
        "request",
        lambda request: page.hosts.add(
            request.url.split("/")[2] if "//" in request.url else "inline"
        ),
    )
    page.goto(address)
    yield page
    context.close()


def drop(page, *paths: Path) -> None:
    page.set_input_files("#upload input[type=file]", list(paths))
    page.click("#enhance:not([disabled])")


def saved(page, button: str) -> tuple[str, bytes]:
    with page.expect_download() as download:
        page.click(f"{button}:not([disabled])")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def pixels_of(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def test_upload_progress_strength_download_with_no_outside_connection(
    page, address, enhancer, tmp_path
):
    photo = write_gradient(tmp_path / "kitchen.jpg", 1300, 1950)
    assert page.locator("#enhance").is_disabled()
    calls = enhancer.calls
    enhancer.may_finish.clear()
    drop(page, photo)
    page.wait_for_selector("#status [role=progressbar]")
    enhancer.may_finish.set()
    page.wait_for_selector("#comparison img")
    expect(page.locator("#status")).to_contain_text("1950 × 1300 pixels in")
    widths = page.eval_on_selector_all(
        "#comparison img", "images => images.map(image => image.naturalWidth)"
    )
    assert widths == [1600, 1600]
    name, content = saved(page, "#download")
    original = pixels_of(photo.read_bytes())
    assert name == "kitchen_enhanced.jpg"
    np.testing.assert_allclose(pixels_of(content), 255 - original.astype(int), atol=12)
    page.fill("#strength input[type=number]", "0")
    page.press("#strength input[type=number]", "Enter")
    page.wait_for_selector("#comparison img[src*='after-0-0-0.jpg']")
    name, content = saved(page, "#download")
    assert pixels_of(content).shape == (1300, 1950, 3)
    np.testing.assert_allclose(pixels_of(content), original, atol=12)
    assert enhancer.calls == calls + 1  # the network ran once
    assert page.hosts <= {address.split("/")[2], "inline"}


def test_the_command_alone_gives_a_page_that_edits_a_room_with_the_packaged_model(
    browser, tmp_path
):
    with running_command(tmp_path) as (server, address, lines):
        wait_for(lambda: any("The page is open" in line for line in lines), 120)
        page = browser.new_page()
        page.goto(address)
        page.click("#samples button.thumbnail-item >> nth=1")
        page.wait_for_selector("#comparison img", timeout=120_000)
        expect(page.locator("#status")).to_contain_text("1080 × 720 pixels")
        name, content = saved(page, "#download")
        page.click("#card button")
        expect(page.locator("#model")).to_contain_text("one that is trained on your own pairs")
        before = pixels_of((ROOT / "demo" / "samples" / "dark-dining-room.jpg").read_bytes())
        assert name == "dark-dining-room_enhanced.jpg"
        assert pixels_of(content).mean() > before.mean() + 20
        page.close()
        server.terminate()
        assert server.wait(timeout=60) == 0


def test_a_batch_with_a_bad_file_shows_each_and_saves_all_that_worked(page, tmp_path):
    (tmp_path / "bad.jpg").write_text("no photo")
    photos = [
        write_gradient(tmp_path / f"{name}.jpg", 300, 400, blue=blue)
        for name, blue in (("a", 40), ("b", 220))
    ]
    drop(page, photos[0], tmp_path / "bad.jpg", photos[1])
    told = "2 of 3 photos done, 1 not possible"  # after a decoder of its own has started
    expect(page.locator("#status .headline")).to_have_text(told, timeout=30_000)
    expect(page.locator("#status li.failed")).to_contain_text("bad.jpg")
    expect(page.locator("#status li.failed")).to_contain_text("not a photo but a text file")
    page.wait_for_selector("#start-over:not([disabled])")
    expect(page.locator("#shown")).to_contain_text("a.jpg")
    expect(page.locator("#comparison img")).to_have_count(2)
    page.click("#photos button.thumbnail-item >> nth=1")
    expect(page.locator("#shown")).to_contain_text("b.jpg")
    name, content = saved(page, "#download")
    assert name == "b_enhanced.jpg"
    assert abs(pixels_of(content)[..., 2].mean() - 35) < 2
    name, content = saved(page, "#download-all")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        blues = {name: pixels_of(archive.read(name))[..., 2].mean() for name in archive.namelist()}
    assert blues == pytest.approx({"a_enhanced.jpg": 215, "b_enhanced.jpg": 35}, abs=2)
    page.click("#start-over")
    expect(page.locator("#samples")).to_be_visible()
    expect(page.locator("#results")).to_be_hidden()


def test_a_sample_room_is_one_click_away_on_a_phone_too(page):
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.click("#samples button.thumbnail-item >> nth=0")
    page.wait_for_selector("#comparison img")
    expect(page.locator("#status")).to_contain_text("1080 × 720 pixels")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_file_above_the_limit_is_told_in_words_and_a_good_one_after_it_works(page, tmp_path):
    (tmp_path / "large.jpg").write_bytes(bytes(2_000_001))
    page.set_input_files("#upload input[type=file]", tmp_path / "large.jpg")
    expect(
        page.get_by_text('exceed the maximum allowed size of 1.9 Mb: "large.jpg"')
    ).to_be_visible()
    page.reload()
    drop(page, write_gradient(tmp_path / "good.jpg", 30, 40))
    page.wait_for_selector("#comparison img")


def test_two_visitors_see_their_own_photos(browser, address, tmp_path):
    pages = [browser.new_context().new_page() for _ in range(2)]
    for page in pages:
        page.goto(address)
    for page, blue in zip(pages, (40, 220), strict=True):
        drop(page, write_gradient(tmp_path / "same.jpg", 300, 400, blue=blue))
    for page, blue in zip(pages, (40, 220), strict=True):
        page.wait_for_selector("#comparison img")
        _, content = saved(page, "#download")
        assert abs(pixels_of(content)[..., 2].mean() - (255 - blue)) < 2
        page.context.close()


def test_the_page_follows_the_visitors_dark_mode(browser, address):
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#enhance")
    color = page.evaluate(
        "getComputedStyle(document.querySelector('.gradio-container')).backgroundColor"
    )
    assert max(int(part) for part in color[color.index("(") + 1 :].rstrip(")").split(",")[:3]) < 60
    context.close()


def test_with_a_login_nobody_gets_in_without_the_password(browser, tmp_path):
    with serving(FakeEnhancer(), credentials=Credentials("anna", "s3cret")) as address:
        context = browser.new_context()
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("input[type=password]")
        assert page.locator("#upload").count() == 0
        for url in ("config", "gradio_api/info", "gradio_api/file=/photos/x.jpg"):
            assert context.request.get(f"{address}{url}").status == 401
        assert context.request.get(f"{address}health").ok
        for password in ("wrong", "s3cret"):
            page.locator("input").first.fill("anna")
            page.fill("input[type=password]", password)
            page.get_by_role("button", name="Login").click()
            if password == "wrong":
                expect(page.get_by_text("Incorrect")).to_be_visible()
        page.wait_for_selector("#upload")
        drop(page, write_gradient(tmp_path / "a.jpg", 30, 40))
        page.wait_for_selector("#comparison img")
        assert saved(page, "#download")[0] == "a_enhanced.jpg"
        context.close()
