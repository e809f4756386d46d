"""What is shown, and who waits for it: the list, the model's card, and places in the queue."""

import asyncio
import concurrent.futures
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image

from demo.handlers import CALLER, Caller, Handlers
from demo.page.model_card import read_model_card, render_model_card, summarise
from demo.page.status_list import render_status_list
from demo.photos.batch import without_paths
from demo.photos.limits import Limits, Refused
from demo.photos.photo_queue import PhotoQueue
from demo.photos.session import Entry
from demo.photos.storage import Storage
from demo.photos.taste import Taste
from demo.photos.visitor import Visitor
from tests.helpers.demo_page import (
    FakeEnhancer,
    inside,
    loaded,
    put_file,
    run_batch,
    write_gradient,
)

ANNA = Visitor("anna", "127.0.0.1")
SAMPLES = sorted((Path(__file__).parents[2] / "demo" / "samples").glob("*.jpg"))


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
    stage = folder / "finetune"
    (stage / "checkpoints").mkdir(parents=True)
    config = {"model": {"base": "retouch"}, "stage": {"resolution": 64}}
    (stage / "config.json").write_text(json.dumps(config))
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
    card = read_model_card(write_run(tmp_path, results_of(miniature=True)))
    shown = render_model_card(card)
    for words in (
        "Stage “finetune”, works at 64 px",
        "no real photo",
        "8 rendered rooms",
        "25.0",
        "[24.0, 26.0]",
        "20.0",
        "small test",
    ):
        assert words in shown
    assert "25.0 dB on 8 rendered rooms against 20.0 dB unedited" in summarise(card)


def test_the_model_card_names_real_data_and_its_restriction(tmp_path):
    card = read_model_card(write_run(tmp_path, results_of(miniature=False, n=56)))
    assert (
        card.trained_on == "Trained on MIT-Adobe FiveK (a set for research only), "
        "then on pairs of real-estate photos."
    )
    assert "small test" not in render_model_card(card)


def test_the_card_of_the_model_in_the_package_needs_no_keras():
    program = (
        "from demo.page.model_card import read_model_card; import sys; "
        "print(read_model_card(None)); assert 'keras' not in sys.modules"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "on no photo at all" in told.stdout, told.stderr
    assert "is_adjustable=True" in told.stdout


@pytest.mark.parametrize("results", [None, "{", "[]", '{"config": {}, "methods": {}}'])
def test_a_model_without_scores_says_so(tmp_path, results):
    card = read_model_card(write_run(tmp_path, results))
    assert "There are no test scores for it" in render_model_card(card)
    assert "no test scores" in summarise(card)


def test_the_sample_photos_are_small_and_are_photos():
    assert len(SAMPLES) == 4
    assert sum(path.stat().st_size for path in SAMPLES) < 300_000
    for path in SAMPLES:
        with Image.open(path) as image:
            assert image.size == (1080, 720)


def test_a_download_takes_a_place_in_the_queue(tmp_path):
    queue, storage = PhotoQueue(Limits(visitors=1)), Storage(tmp_path, Limits())
    handlers = Handlers(loaded(FakeEnhancer()), queue, storage, Limits())
    photo = write_gradient(tmp_path / "a.jpg", 20, 30)

    async def visit() -> Path:
        CALLER.set(Caller(ANNA, lambda: True))
        handle = put_file(storage, ANNA, photo)
        progress = [step async for step in handlers.enhance(None, [handle], Taste())][-1]
        with queue.place("bert"):
            with pytest.raises(Refused, match="busy"):
                await handlers.render_shown(progress.session, Taste(50))
            with pytest.raises(Refused, match="busy"):
                await anext(handlers.render_all(progress.session, Taste(50)))
        return await handlers.render_shown(progress.session, Taste(50))

    assert asyncio.run(visit()).exists()


def test_a_photo_that_is_dropped_before_the_model_is_there_is_told_so(tmp_path):
    model, storage = concurrent.futures.Future(), Storage(tmp_path, Limits())
    handlers = Handlers(model, PhotoQueue(), storage, Limits())
    photo = write_gradient(tmp_path / "a.jpg", 20, 30)

    async def visit() -> list[str]:
        CALLER.set(Caller(ANNA, lambda: True))
        handle = put_file(storage, ANNA, photo)
        texts = []
        async for progress in handlers.enhance(None, [handle], Taste()):
            texts.append(progress.session.entries[0].text)
            if "still being loaded" in texts[-1] and not model.done():
                model.set_result(FakeEnhancer())
        return texts

    texts = asyncio.run(visit())
    assert "Waiting for the model, which is still being loaded" in texts
    assert "30 × 20 pixels" in texts[-1]


def test_opening_the_page_does_not_copy_the_model():
    class Model(FakeEnhancer):
        copies = 0

        def __deepcopy__(self, memo):
            self.copies += 1
            return self

    model = Model()
    with inside(model) as (server, _):

        async def visit() -> list[httpx.Response]:
            async with server.client() as client:
                return [await client.get(page) for page in ("/", "/config")]

        pages = server.run(visit())
    assert [page.status_code for page in pages] == [200, 200]
    assert not any(" object at 0x" in page.text or "<function" in page.text for page in pages)
    assert model.copies == 0
