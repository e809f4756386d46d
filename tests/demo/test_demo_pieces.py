"""The demo's parts that need no server."""

import asyncio
import json
import os
import struct
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.page.model_card import read_model_card, render_model_card, summarise
from demo.page.status_list import render_status_list
from demo.photos import isolated_decoding
from demo.photos.archive import write_archive
from demo.photos.batch import enhance_batch, without_paths
from demo.photos.enhanced_photo import compare, enhance_photo, render_result
from demo.photos.isolated_decoding import read_upload
from demo.photos.limits import Limits, Refused
from demo.photos.photo_queue import PhotoQueue
from demo.photos.session import Entry, Session
from demo.photos.storage import NoRoom, NotFound, Storage
from demo.photos.visitor import Visitor
from demo.server.credentials import CredentialsError, read_credentials
from demo.server.temporary_files import private_folder
from enhancer.photo.io import PhotoError, read_photo, write_photo
from tests.helpers.demo_page import FakeEnhancer, write_gradient

SAMPLES = sorted((Path(__file__).parents[2] / "demo" / "samples").glob("*.jpg"))


# Decoding in a process of its own


def test_a_16_bit_tiff_comes_back_from_its_process_as_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 65536, (30, 40, 3), dtype=np.uint16)
    write_photo(tmp_path / "deep.tif", pixels)
    np.testing.assert_array_equal(read_upload(tmp_path / "deep.tif", Limits()).pixels, pixels)


def test_a_bad_file_gets_the_same_sentence_from_the_process(tmp_path):
    (tmp_path / "broken.tif").write_bytes(b"II*\0" + bytes(range(200)))
    with pytest.raises(PhotoError) as direct:
        read_photo(tmp_path / "broken.tif", keep_depth=True)
    with pytest.raises(PhotoError) as isolated:
        read_upload(tmp_path / "broken.tif", Limits())
    assert str(isolated.value) == str(direct.value)


def test_a_decoder_that_needs_too_much_memory_is_told_in_words(tmp_path):
    write_photo(tmp_path / "big.tif", np.zeros((6000, 9000, 3), np.uint8))
    with pytest.raises(PhotoError, match=r"big\.tif .*memory"):
        read_upload(tmp_path / "big.tif", Limits(decoder_megabytes=450))


def test_a_decoder_that_takes_too_long_is_stopped(tmp_path):
    write_photo(tmp_path / "slow.tif", np.zeros((8, 8, 3), np.uint8))
    limits = Limits()
    object.__setattr__(
        limits, "decoder_seconds", 0
    )  # less than one may choose: no decoder is so fast
    started = time.monotonic()
    with pytest.raises(PhotoError, match=r"slow\.tif was not decoded within 0 seconds"):
        read_upload(tmp_path / "slow.tif", limits)
    assert time.monotonic() - started < 10


def test_a_decoder_that_dies_is_told_in_words(tmp_path, monkeypatch):
    write_photo(tmp_path / "deadly.tif", np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(
        isolated_decoding, "_DECODER", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    )
    with pytest.raises(
        PhotoError, match=r"deadly\.tif could not be decoded: its decoder was stopped"
    ):
        read_upload(tmp_path / "deadly.tif", Limits())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("huge.jpg", "has 2100 × 1000 pixels, and this server takes at most 1 megapixels"),
        ("huge.tif", r"claims 2 megapixels \(2100 x 1000\); the limit is 1 megapixels"),
    ],
)
def test_a_photo_above_the_pixel_limit_is_refused_with_its_size(tmp_path, name, told):
    write_photo(tmp_path / name, np.zeros((1000, 2100, 3), np.uint8))
    with pytest.raises(PhotoError, match=rf"{name} {told}"):
        read_upload(tmp_path / name, Limits(megapixels=1))


def test_a_bomb_is_told_this_servers_limit(tmp_path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    crc = struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + crc)
    with pytest.raises(PhotoError, match="the limit is 100 megapixels"):
        read_upload(tmp_path / "bomb.png", Limits())


# One photo


def test_the_result_has_the_photos_size_depth_and_exif(tmp_path):
    made = enhance_photo(
        FakeEnhancer(),
        write_gradient(tmp_path / "a.jpg", 30, 40),
        tmp_path / "1",
        Limits(),
        100,
        lambda size: None,
    )
    result = read_photo(render_result(made, 100, Limits(), lambda size: None))
    assert (made.width, made.height, made.result_name) == (40, 30, "a_enhanced.jpg")
    assert b"Kitchen" in (result.exif or b"")
    deep = np.random.default_rng(0).integers(0, 65536, (30, 40, 3), dtype=np.uint16)
    write_photo(tmp_path / "deep.png", deep)
    made = enhance_photo(
        FakeEnhancer(), tmp_path / "deep.png", tmp_path / "2", Limits(), 100, lambda size: None
    )
    inverted = read_photo(
        render_result(made, 100, Limits(), lambda size: None), keep_depth=True
    ).pixels
    np.testing.assert_allclose(inverted.astype(int), 65535 - deep.astype(int), atol=1)


def test_another_strength_needs_no_network_and_zero_is_the_photo_itself(tmp_path):
    enhancer = FakeEnhancer()
    write_photo(
        tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    )
    photo = read_photo(tmp_path / "a.png").pixels
    made = enhance_photo(
        enhancer, tmp_path / "a.png", tmp_path / "1", Limits(), 100, lambda size: None
    )
    for percent in (0, 50):
        pixels = read_photo(render_result(made, percent, Limits(), lambda size: None)).pixels
        np.testing.assert_allclose(pixels, photo + percent / 100 * (255.0 - 2.0 * photo), atol=0.51)
    before, after = (
        read_photo(path).pixels.astype(int) for path in compare(made, 0, lambda size: None)
    )
    assert np.abs(before - after).mean() < 3  # both are JPEG previews
    assert enhancer.calls == 1


def test_only_the_last_strength_is_kept_on_the_disk(tmp_path):
    made = enhance_photo(
        FakeEnhancer(),
        write_gradient(tmp_path / "a.jpg", 30, 40),
        tmp_path / "1",
        Limits(),
        100,
        lambda size: None,
    )
    render_result(made, 40, Limits(), lambda size: None)
    assert [path.parent.name for path in made.folder.rglob("*_enhanced.jpg")] == ["at-40"]


# Many photos


def run_batch(queue, entries, folder, enhancer=None):
    async def collect():
        return [
            (entry.number, entry.state, entry.text)
            async for entry in enhance_batch(
                enhancer or FakeEnhancer(),
                queue,
                Limits(),
                Session("anna", folder),
                entries,
                100,
                account="anna",
                keep_room=lambda size: None,
            )
        ]

    return asyncio.run(collect())


def test_one_bad_file_does_not_stop_the_others(tmp_path):
    (tmp_path / "bad.jpg").write_text("no photo")
    paths = [
        write_gradient(tmp_path / "a.jpg", 20, 30),
        tmp_path / "bad.jpg",
        write_gradient(tmp_path / "c.jpg", 20, 30),
    ]
    entries = [Entry(path.name, number, source=path) for number, path in enumerate(paths)]
    steps = run_batch(PhotoQueue(), entries, tmp_path / "visit")
    assert [entry.state for entry in entries] == ["done", "failed", "done"]
    assert "bad.jpg" in entries[1].text
    assert str(tmp_path) not in entries[1].text
    assert {text.split()[0] for number, state, text in steps if number == 0} >= {
        "Reading",
        "Enhancing",
        "Writing",
        "30",
    }


def test_an_unexpected_failure_is_logged_without_the_names_of_files(tmp_path, caplog):
    write_photo(tmp_path / "private_name.png", np.full((20, 30, 3), 128, np.uint8))
    entry = Entry("private_name.png", 0, source=tmp_path / "private_name.png")
    run_batch(PhotoQueue(), [entry], tmp_path / "visit")
    assert entry.text == "private_name.png could not be enhanced; the server's log says why."
    assert "RuntimeError" in caplog.text
    assert "find_edit" in caplog.text  # where it happened
    assert "private_name" not in caplog.text
    assert "secret detail" not in caplog.text


def test_visitors_take_turns(tmp_path):
    queue, order = PhotoQueue(), []

    async def visit(name, photos):
        for _ in range(photos):
            async for _ in queue.run(lambda _: (order.append(name), time.sleep(0.02))):
                pass

    async def both():
        await asyncio.gather(visit("many", 4), visit("one", 1))

    asyncio.run(both())
    assert order.index("one") <= 1


def test_a_closed_queue_finishes_the_photo_in_hand_and_refuses_the_rest(tmp_path):
    queue, begun, go_on = PhotoQueue(), threading.Event(), threading.Event()

    class Slow(FakeEnhancer):
        def find_edit(self, photo):
            begun.set()
            go_on.wait(10)
            return super().find_edit(photo)

    def stop():
        begun.wait(10)
        queue.close()
        assert not queue.is_idle
        go_on.set()

    paths = [write_gradient(tmp_path / f"{name}.jpg", 20, 30) for name in "ab"]
    entries = [Entry(path.name, number, source=path) for number, path in enumerate(paths)]
    stopper = threading.Thread(target=stop)
    stopper.start()
    run_batch(queue, entries, tmp_path / "visit", Slow())
    stopper.join()
    assert [entry.state for entry in entries] == ["done", "failed"]
    assert "is being stopped" in entries[1].text
    assert queue.is_idle
    with pytest.raises(Refused), queue.place("anna"):
        pass


def test_more_visitors_than_the_limit_are_asked_to_come_back():
    queue = PhotoQueue(Limits(visitors=1))
    with (
        queue.place("anna"),
        pytest.raises(Refused, match="busy with the photos of 1 visitors"),
        queue.place("bert"),
    ):
        pass


def test_a_visitor_who_leaves_takes_his_place_in_the_queue_with_him():
    queue, go_on = PhotoQueue(), threading.Event()

    async def run(work):
        async for _ in queue.run(work):
            pass

    async def leave():
        first = asyncio.create_task(run(lambda _: go_on.wait(10)))
        second = asyncio.create_task(run(lambda _: pytest.fail("nobody waits for this any more")))
        await asyncio.sleep(0.1)
        assert queue.counts() == {"waiting": 1, "working": 1, "done": 0}
        second.cancel()
        await asyncio.sleep(0.05)
        go_on.set()
        await first

    asyncio.run(leave())
    assert queue.counts() == {"waiting": 0, "working": 0, "done": 1}


def test_results_of_one_name_are_told_apart_in_the_zip(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jpg").write_text(folder)
    write_archive(tmp_path / "all.zip", [tmp_path / "a" / "x.jpg", tmp_path / "b" / "x.jpg"])
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "x.jpg": b"a",
            "x_2.jpg": b"b",
        }


# What is shown


def test_names_of_files_cannot_put_markup_into_the_page():
    shown = render_status_list(
        [Entry("<img src=x onerror=alert(1)>.jpg", 0, "failed", "no <b>photo</b>")]
    )
    assert "<img" not in shown
    assert "no <b>" not in shown


def test_failures_come_first_when_all_is_done():
    entries = [Entry("a.jpg", 0, "done"), Entry("b.jpg", 1, "failed"), Entry("c.jpg", 2, "working")]
    assert render_status_list(entries).index("a.jpg") < render_status_list(entries).index("b.jpg")
    entries[2].state = "done"
    assert render_status_list(entries).index("b.jpg") < render_status_list(entries).index("a.jpg")


def test_paths_in_a_decoders_own_words_are_left_out():
    upload = Path("/srv/uploads/1/a.tif")
    assert (
        without_paths(f"{upload} is bad (cannot read {upload}). Copy it.", upload)
        == "a.tif is bad. Copy it."
    )


def write_run(folder: Path, results: str | None) -> Path:
    (folder / "finetune" / "checkpoints").mkdir(parents=True)
    if results is not None:
        (folder / "results.json").write_text(results)
    return folder


def results_of(*, miniature: bool, n: int = 8) -> str:
    def method(shift):
        metrics = {"psnr_db": 20.0 + shift, "ssim": 0.9, "ciede2000": 9.0 - shift}
        return {
            "n": n,
            "mean": metrics,
            "interval_95": {key: [value - 1, value + 1] for key, value in metrics.items()},
        }

    methods = {"unedited": method(0), "finetuned": method(5)}
    return json.dumps(
        {"config": {"miniature": miniature, "fivek": None, "real_estate": None}, "methods": methods}
    )


def test_the_model_card_says_what_it_was_trained_on_and_how_it_did(tmp_path):
    card = read_model_card(write_run(tmp_path, results_of(miniature=True)), "tiny network")
    shown = render_model_card(card)
    for words in (
        "tiny network",
        "no real photo",
        "8 photos",
        "25.0",
        "[24.0, 26.0]",
        "20.0",
        "small test",
    ):
        assert words in shown
    assert "25.0 dB on 8 test photos against 20.0 dB unedited" in summarise(card)


def test_the_model_card_names_real_data_and_its_restriction(tmp_path):
    card = read_model_card(write_run(tmp_path, results_of(miniature=False, n=56)), "network")
    assert (
        card.trained_on == "Trained on MIT-Adobe FiveK (a set for research only), "
        "then on pairs of real-estate photos."
    )
    assert "small test" not in render_model_card(card)


@pytest.mark.parametrize("results", [None, "{", "[]", '{"config": {}, "methods": {}}'])
def test_a_model_without_scores_says_so(tmp_path, results):
    card = read_model_card(write_run(tmp_path, results), "network")
    assert "There are no test scores for it" in render_model_card(card)
    assert "no test scores" in summarise(card)


def test_the_sample_photos_are_small_and_are_photos():
    assert len(SAMPLES) == 4
    assert sum(path.stat().st_size for path in SAMPLES) < 300_000
    for path in SAMPLES:
        with Image.open(path) as image:
            assert image.size == (1080, 720)


# Credentials and files


def test_user_and_password_come_from_a_file_or_the_environment(tmp_path):
    (tmp_path / "password").write_text("s3cret\nsecond line\n")
    assert read_credentials(None, None, {}) is None
    given = read_credentials("anna", tmp_path / "password", {})
    assert (given.user, given.password) == ("anna", "s3cret")
    assert "s3cret" not in repr(given)
    variables = {"ENHANCER_DEMO_USER": "anna", "ENHANCER_DEMO_PASSWORD": "s3cret"}
    assert read_credentials(None, None, variables) == given


@pytest.mark.parametrize(
    ("user", "file", "variables", "sentence"),
    [
        ("anna", None, {}, "no password"),
        (None, None, {"ENHANCER_DEMO_PASSWORD": "x"}, "no user"),
        ("anna", "", {}, "is empty"),
        ("anna", None, {"ENHANCER_DEMO_PASSWORD": ""}, "no password"),
    ],
)
def test_half_a_login_is_refused(tmp_path, user, file, variables, sentence):
    if file is not None:
        (tmp_path / "password").write_text(file)
    with pytest.raises(CredentialsError, match=sentence):
        read_credentials(user, tmp_path / "password" if file is not None else None, variables)


# The storage

ANNA, BERT = Visitor("anna", "127.0.0.1"), Visitor("bert", "127.0.0.1")


def put(storage: Storage, visitor: Visitor, megabytes: float = 0.001, name: str = "a.jpg") -> str:
    """Upload a file as the page does; return its handle."""
    size = int(megabytes * 1e6)
    with storage.receiving(visitor, size) as folder:
        (folder / name).write_bytes(bytes(size))
        return storage.put(visitor, [(folder / name, name)])[0]


def test_what_was_not_used_for_long_is_swept_and_what_is_in_use_is_not(tmp_path, monkeypatch):
    storage, clock = Storage(tmp_path, Limits(keep_minutes=1)), [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("time.time", lambda: os.stat(tmp_path).st_mtime + clock[0] - 1000)
    old, taken, used = put(storage, ANNA), put(storage, ANNA), put(storage, ANNA)
    visit = storage.new_folder(ANNA)
    storage.take(ANNA, taken, visit / "photo-0" / "source")
    (tmp_path / "broken-upload").write_text("x")
    clock[0] += 50
    storage.find(ANNA, used)
    storage.sweep()
    storage.find(ANNA, old)
    clock[0] += 61
    storage.find(ANNA, used)
    with storage.using(visit):
        clock[0] += 59
        storage.sweep()
        kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {visit.name, used.split("/")[2]}
    clock[0] += 61
    storage.sweep()
    assert list(tmp_path.iterdir()) == []


def test_an_upload_is_used_once_and_by_its_owner_only(tmp_path):
    storage = Storage(tmp_path, Limits())
    handle = put(storage, ANNA)
    with pytest.raises(NotFound):
        storage.take(BERT, handle, tmp_path / "x")
    taken = storage.take(ANNA, handle, storage.new_folder(ANNA) / "photo-0" / "source")
    assert taken.name == "a.jpg"
    with pytest.raises(NotFound):
        storage.take(ANNA, handle, tmp_path / "x")
    with pytest.raises(NotFound):  # a result is no upload
        storage.take(ANNA, storage.handle(taken), tmp_path / "x")


def test_when_the_disk_is_full_the_longest_unused_results_go_first_and_uploads_are_refused(
    tmp_path,
):
    storage = Storage(tmp_path, Limits(disk_megabytes=10))
    results = []
    for visitor in (ANNA, BERT):
        results.append(storage.new_folder(visitor))
        with storage.using(results[-1]):
            (results[-1] / "result.jpg").write_bytes(bytes(3_000_000))
    put(storage, Visitor("carl", "127.0.0.1"), 4.5)
    assert [folder.exists() for folder in results] == [False, True]
    put(storage, Visitor("dora", "127.0.0.1"), 2)
    with pytest.raises(NoRoom, match="space for photos is full"), storage.using(results[1]):
        put(storage, Visitor("emil", "127.0.0.1"), 4)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.jpg")) <= 10_000_000


def test_one_visitor_fills_half_of_the_disk_and_keeps_so_many_uploads_waiting(tmp_path):
    storage = Storage(tmp_path, Limits(disk_megabytes=10, uploads_per_visitor=3))
    put(storage, ANNA, 4)
    with pytest.raises(NoRoom):
        put(storage, ANNA, 2)
    for visitor in (Visitor("a", "10.0.0.1"), Visitor("b", "10.0.0.1"), Visitor("c", "10.0.0.1")):
        put(storage, visitor)
    with pytest.raises(
        NoRoom, match="3 of your uploads wait already"
    ):  # another cookie helps nothing
        put(storage, Visitor("d", "10.0.0.1"))


def test_a_visitor_has_a_bounded_number_of_places(tmp_path):
    queue = PhotoQueue(Limits(visitors=3, batches_per_visitor=1))
    with queue.place("anna"), queue.place("bert"):
        with pytest.raises(Refused, match="1 batches of yours"), queue.place("anna"):
            pass
        with queue.place("carl"), pytest.raises(Refused, match="busy"), queue.place("dora"):
            pass
    assert queue.is_idle


def test_a_photo_that_nobody_waits_for_any_more_is_not_worked_on():
    queue, go_on, worked = PhotoQueue(), threading.Event(), []

    async def run(work, is_awaited):
        async for _ in queue.run(work, is_awaited):
            pass

    async def both():
        first = asyncio.create_task(run(lambda _: go_on.wait(10), lambda: True))
        await asyncio.sleep(0.05)
        with pytest.raises(Refused, match="Nobody waited"):
            await run(lambda _: worked.append(1), lambda: False)
        go_on.set()
        await first

    asyncio.run(both())
    assert worked == []
    assert queue.counts()["waiting"] == 0


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
