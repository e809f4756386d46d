"""FiveK is fetched pair by pair and ends as from local files, whatever the server does."""

import contextlib
import json
import os
import shutil
import threading

import pytest

from datasets import build, miniature
from datasets.fivek.layouts import find_fivek_pairs
from datasets.fivek.official_files import OfficialFiles
from datasets.preparation.preparation import Variant, prepare
from datasets.sources import checksums
from datasets.sources.download import Patience, ServerUnreachable
from datasets.sources.pair_source import PairSource
from datasets.types import Request, SourceError
from datasets.workers import pool
from tests.helpers import misbehaving_server as fault

NAMES = [f"a{number:04d}-miniature_{number:04d}" for number in range(1, 23)]
VARIANT = Variant("fivek", "expert C", 1024)
PATIENCE = Patience(max_attempts=4, first_delay_s=0.001, silence_s=1.0, slowest_bytes_per_s=100_000)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Twenty-two pairs, 44 files, in the official layout."""
    out = tmp_path_factory.mktemp("miniature")
    miniature.write(out, long_edge=96, fivek_pairs=22, real_estate_pairs={})
    return out / "fivek"


@pytest.fixture(scope="module")
def prepared_locally(local, tmp_path_factory):
    out = tmp_path_factory.mktemp("local") / "out"
    source = PairSource(local, lambda folder: find_fivek_pairs(folder, "c"))
    prepare(source, out, VARIANT, num_workers=0)
    return out


@pytest.fixture
def server(local):
    with fault.serve(local) as server:
        yield server


def official(server, tmp_path, names=NAMES, **request):
    scratch = tmp_path / "scratch"
    request = Request(base_url=server.url, **request)
    return OfficialFiles(request, "c", names, scratch, patience=PATIENCE)


def fetch(files, tmp_path):
    return prepare(files, tmp_path / "out", VARIANT, num_workers=0)


def content(folder):
    """Pictures and lists, without the log and the metadata, which say where they come from."""
    paths = {*folder.glob("images/*"), *folder.glob("*.jsonl")} - {folder / "progress.jsonl"}
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def transfer(tmp_path):
    return json.loads((tmp_path / "out/dataset_metadata.json").read_text())["run"]["transfer"]


def dng(number):
    return f"/img/dng/{NAMES[number]}.dng"


def tif(number):
    return f"/img/tiff16_c/{NAMES[number]}.tif"


def test_fetched_files_give_the_same_pairs_as_local_ones(
    server, prepared_locally, tmp_path, capsys
):
    metadata = fetch(official(server, tmp_path), tmp_path)
    locally = json.loads((prepared_locally / "dataset_metadata.json").read_text())
    assert metadata["counts"]["accepted"] == 22
    assert metadata["images_sha256"] == locally["images_sha256"]
    assert content(tmp_path / "out") == content(prepared_locally)
    assert "fetched 44 files" in capsys.readouterr().out
    assert len(server.requests) == 44


def test_originals_are_dropped_as_soon_as_they_were_used(server, tmp_path):
    files, done, most = official(server, tmp_path), threading.Event(), 0

    def watch():
        nonlocal most
        while not done.wait(0.001):
            # Each folder by itself: a list of both would not be of one moment.
            for folder in ("dng", "tiff16_c"):
                with contextlib.suppress(FileNotFoundError):
                    names = os.listdir(files.folder / "img" / folder)
                    most = max(most, len({name.split(".")[0] for name in names}))

    watcher = threading.Thread(target=watch)
    watcher.start()
    fetch(files, tmp_path)
    done.set()
    watcher.join()
    assert 2 <= most <= files.pairs_at_once == 8
    assert not files.folder.exists()


def test_every_fault_that_passes_is_overcome_and_reported(
    server, prepared_locally, tmp_path, capsys
):
    server.faults |= {
        dng(0): [fault.drop_after(5000)],
        tif(1): [fault.busy(503), fault.busy(503)],
        tif(4): [fault.wrong_length(-500)],  # a whole file, by what the server says
        dng(5): [fault.corrupted()],
    }
    fetch(official(server, tmp_path), tmp_path)
    assert content(tmp_path / "out") == content(prepared_locally)
    retries = {"damaged file": 2, "server busy (503)": 2, "connection dropped": 1}
    assert transfer(tmp_path)["retries"] == retries
    assert "5 retries (2 " in capsys.readouterr().out


def test_faults_that_stay_cost_the_pair_and_no_other(server, prepared_locally, tmp_path):
    server.always = {
        dng(1): fault.corrupted(),
        tif(2): fault.busy(404),
        tif(3): fault.busy(500),
        dng(4): fault.drop_after(0),
    }
    metadata = fetch(official(server, tmp_path), tmp_path)
    assert metadata["counts"]["accepted"] == 18
    reasons = {"not fetched": 2, "unreadable photo": 1, "not on the server": 1}
    assert metadata["rejected_by_reason"] == reasons
    rows = map(json.loads, (tmp_path / "out/rejected.jsonl").read_text().splitlines())
    reasons = {row["id"]: row["reason"] for row in rows}
    assert "is not on the server (404 Not Found)" in reasons[NAMES[2]]
    assert "in 4 attempts, the last one: server error (500)" in reasons[NAMES[3]]
    assert len([path for path, _ in server.requests if path == dng(1)]) == 2
    pictures = {key: value for key, value in content(tmp_path / "out").items() if key.parent.name}
    assert pictures.items() <= content(prepared_locally).items()


def test_what_was_not_fetched_is_tried_again(server, prepared_locally, tmp_path):
    server.always = {tif(3): fault.busy(500)}
    fetch(official(server, tmp_path), tmp_path)
    server.always = {}
    server.requests.clear()
    fetch(official(server, tmp_path), tmp_path)
    assert content(tmp_path / "out") == content(prepared_locally)
    assert sorted(path for path, _ in server.requests) == [dng(3), tif(3)]


def test_a_stopped_run_is_continued_without_fetching_finished_pairs_again(
    server, prepared_locally, tmp_path
):
    class StopsAfterTen(OfficialFiles):
        def prepare(self, pair, develop):
            if pair.id in NAMES[10:]:
                raise KeyboardInterrupt
            return super().prepare(pair, develop)

    request = Request(base_url=server.url, connections=1)
    files = StopsAfterTen(request, "c", NAMES, tmp_path / "scratch", patience=PATIENCE)
    with pytest.raises(KeyboardInterrupt):
        fetch(files, tmp_path)
    log = (tmp_path / "out/progress.jsonl").read_text().splitlines()
    finished = {json.loads(line)["id"] for line in log[1:]}
    assert finished
    server.requests.clear()
    fetch(official(server, tmp_path), tmp_path)
    assert content(tmp_path / "out") == content(prepared_locally)
    assert not finished & {path.rpartition("/")[2][:-4] for path, _ in server.requests}


def test_kept_originals_are_a_source_of_their_own_with_checksums(server, local, tmp_path):
    fetch(official(server, tmp_path, NAMES[:3], keep_originals=tmp_path / "kept"), tmp_path)
    files = [path[1:] for number in range(3) for path in (dng(number), tif(number))]
    for folder in (tmp_path / "out", tmp_path / "kept"):
        recorded = checksums.read(folder / "checksums.tsv")
        assert recorded == {name: checksums.of(local / name) for name in files}
    assert len(find_fivek_pairs(tmp_path / "kept", "c")) == 3
    for name in files:
        assert (tmp_path / "kept" / name).read_bytes() == (local / name).read_bytes()


def test_kept_originals_are_not_fetched_again_unless_they_changed(server, local, tmp_path, capsys):
    keep = {"keep_originals": tmp_path / "kept"}
    fetch(official(server, tmp_path, NAMES[:3], **keep), tmp_path)
    shutil.rmtree(tmp_path / "out")
    changed = tmp_path / "kept" / tif(1)[1:]
    damaged = bytearray(changed.read_bytes())
    damaged[-10] ^= 1
    changed.write_bytes(damaged)
    server.requests.clear()
    fetch(official(server, tmp_path, NAMES[:3], **keep), tmp_path)
    assert [path for path, _ in server.requests] == [tif(1)]
    assert (
        f"{changed} is not the file that was fetched: fetching it again" in capsys.readouterr().err
    )
    assert changed.read_bytes() == (local / tif(1)[1:]).read_bytes()


def test_a_file_that_changed_on_the_server_is_named(server, tmp_path, capsys):
    shutil.copytree(server.folder, tmp_path / "served")
    server.folder = tmp_path / "served"
    fetch(official(server, tmp_path, NAMES[:3]), tmp_path)
    (tmp_path / "out/images" / f"{NAMES[0]}_target.jpg").unlink()
    shutil.copy(tmp_path / "served" / tif(3)[1:], tmp_path / "served" / tif(0)[1:])
    fetch(official(server, tmp_path, NAMES[:3]), tmp_path)
    assert f"{tif(0)[1:]} has changed since it was first fetched" in capsys.readouterr().err


def test_a_wrong_address_is_noticed_after_twenty_photos(server, tmp_path):
    server.folder = tmp_path
    sentence = r"None of the first 20 photos is there.*img/tiff16_c/<name>\.tif"
    with pytest.raises(ServerUnreachable, match=sentence):
        fetch(official(server, tmp_path), tmp_path)


@pytest.mark.parametrize(
    "url", ["ftp://a/", "a/fivek", "http://", "http://a b\n/", "http://[::1/", "http://a:99999/"]
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(SourceError, match="is not the address of a server"):
        Request(base_url=url)


def test_a_fetched_data_set_has_the_records_of_a_local_one(server, local, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "default_count", lambda: 0)  # starting processes takes seconds
    request = Request(base_url=server.url, names=local / "names.txt", limit=4)
    build.build("fivek", None, tmp_path / "fetched", request=request)
    for role in ("dng", "tiff16_c"):
        (tmp_path / "four/img" / role).mkdir(parents=True)
        for path in sorted((local / "img" / role).iterdir())[:4]:
            shutil.copy(path, tmp_path / "four/img" / role)
    build.build("fivek", tmp_path / "four", tmp_path / "local")
    records = [
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("*/*/*/*array_record*")}
        for name in ("fetched", "local")
    ]
    assert len(records[0]) == 2
    assert records[0] == records[1]
    server.requests.clear()
    build.build("fivek", None, tmp_path / "fetched", request=request)
    assert server.requests == []


@pytest.mark.parametrize(
    ("first", "lasting", "sentence"),
    [
        (0, fault.login_page(), "web page instead of the file"),
        (5, fault.busy(500), "The last 8 photos could not be fetched"),
    ],
    ids=["the page of a hotel network", "a server that stops answering"],
)
def test_what_stops_all_ends_the_run_and_costs_nothing(
    server, prepared_locally, tmp_path, first, lasting, sentence
):
    server.always = {path(number): lasting for number in range(first, 22) for path in (dng, tif)}
    with pytest.raises(ServerUnreachable, match=sentence):
        fetch(official(server, tmp_path), tmp_path)
    server.always = {}
    fetch(official(server, tmp_path), tmp_path)
    assert content(tmp_path / "out") == content(prepared_locally)
