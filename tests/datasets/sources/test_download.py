"""A file is fetched whole and unchanged, whatever the server does."""

import concurrent.futures
import hashlib
import threading
import time
from email.utils import formatdate

import numpy as np
import pytest

from datasets.sources import checksums, download
from datasets.sources.download import (
    Downloader,
    NotFetched,
    NotOnServer,
    Patience,
    ServerUnreachable,
    Stopped,
)
from tests.helpers.misbehaving_server import (
    busy,
    drop_after,
    ignores_ranges,
    serve,
    silence,
    trickle,
    wrong_length,
)

CONTENT = np.random.default_rng(0).bytes(300_000)
PATIENCE = Patience(max_attempts=4, first_delay_s=0.001, silence_s=0.3, slowest_bytes_per_s=100_000)


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    (tmp_path / "served/a.dng").write_bytes(CONTENT)
    with serve(tmp_path / "served") as server:
        yield server


@pytest.fixture
def downloader():
    return Downloader(patience=PATIENCE)


def fetch(downloader, server, tmp_path, name="a.dng"):
    return downloader.fetch(f"{server.url}{name}", tmp_path / "got" / name)


def assert_whole(checksum, tmp_path):
    assert (tmp_path / "got/a.dng").read_bytes() == CONTENT
    assert (checksum.size, checksum.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["a.dng"]


def test_a_file_arrives_with_its_checksum(downloader, server, tmp_path):
    checksum = fetch(downloader, server, tmp_path)
    assert_whole(checksum, tmp_path)
    assert checksum == checksums.of(tmp_path / "got/a.dng")
    report = downloader.report()
    assert (report["files"], report["bytes"], report["retries"]) == (1, len(CONTENT), {})


@pytest.mark.parametrize(
    ("faults", "retries"),
    [
        ([drop_after(100_000)], {"connection dropped": 1}),
        ([drop_after(100_000), ignores_ranges()], {"connection dropped": 1}),
        ([drop_after(0), drop_after(0)], {"connection dropped": 2}),
        ([wrong_length(500)], {"connection dropped": 1}),
        ([busy(503), busy(503), busy(500)], {"server busy (503)": 2, "server error (500)": 1}),
        ([trickle(1000, 0.05)], {"server too slow": 1}),
        ([silence(0.6)], {"server silent": 1}),
    ],
)
def test_faults_that_pass_are_overcome_and_counted(downloader, server, tmp_path, faults, retries):
    server.faults["/a.dng"] = faults
    assert_whole(fetch(downloader, server, tmp_path), tmp_path)
    assert downloader.report()["retries"] == retries


def test_after_a_dropped_connection_only_the_rest_is_asked_for(downloader, server, tmp_path):
    server.faults["/a.dng"] = [drop_after(100_000)]
    fetch(downloader, server, tmp_path)
    assert server.requests == [("/a.dng", None), ("/a.dng", "bytes=100000-")]
    assert downloader.report()["bytes"] == len(CONTENT)


def test_another_run_asks_for_the_rest(server, tmp_path):
    server.always["/a.dng"] = drop_after(60_000)
    with pytest.raises(NotFetched, match=r"in 4 attempts, the last one: connection dropped"):
        fetch(Downloader(patience=PATIENCE), server, tmp_path)
    server.always.clear()
    server.requests.clear()
    assert_whole(fetch(Downloader(patience=PATIENCE), server, tmp_path), tmp_path)
    assert server.requests == [("/a.dng", "bytes=240000-")]


def test_a_file_that_changed_in_between_is_fetched_from_its_beginning(server, tmp_path):
    server.always["/a.dng"] = drop_after(50_000)
    with pytest.raises(NotFetched):
        fetch(Downloader(patience=PATIENCE), server, tmp_path)
    server.always.clear()
    (server.folder / "a.dng").write_bytes(CONTENT[::-1])
    fetch(Downloader(patience=PATIENCE), server, tmp_path)
    assert (tmp_path / "got/a.dng").read_bytes() == CONTENT[::-1]


def test_received_bytes_of_unknown_origin_are_not_trusted(downloader, server, tmp_path):
    (tmp_path / "got").mkdir()
    (tmp_path / "got/a.dng.part").write_bytes(b"something else")
    assert_whole(fetch(downloader, server, tmp_path), tmp_path)
    assert server.requests == [("/a.dng", None)]


def test_a_file_that_is_complete_but_not_renamed_is_not_sent_again(downloader, server, tmp_path):
    server.faults["/a.dng"] = [drop_after(100_000)]
    with pytest.raises(NotFetched):
        fetch(Downloader(patience=Patience(max_attempts=1)), server, tmp_path)
    with open(tmp_path / "got/a.dng.part", "ab") as file:
        file.write(CONTENT[100_000:])
    assert_whole(fetch(downloader, server, tmp_path), tmp_path)
    assert downloader.report()["bytes"] == 0


def test_a_server_that_asks_for_a_pause_gets_it(downloader, server, tmp_path):
    server.faults["/a.dng"] = [busy(503, "1"), busy(503, "²")]  # the second is not a number
    began = time.monotonic()
    fetch(downloader, server, tmp_path)
    assert 0.9 < time.monotonic() - began < 3


def test_a_pause_can_be_a_date():
    until = formatdate(time.time() + 100, usegmt=True)
    assert 98 < download._retry_after_s(until) <= 100


def test_a_pause_of_hours_ends_the_run_with_a_sentence(downloader, server, tmp_path):
    server.faults["/a.dng"] = [busy(429, "7200")]
    with pytest.raises(ServerUnreachable, match=r"asks to be left alone for 2\.0 hours"):
        fetch(downloader, server, tmp_path)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (404, r"a\.dng is not on the server \(404 Not Found\)"),
        (403, r"the server refuses .*a\.dng \(403 Forbidden\)"),
    ],
)
def test_a_file_that_is_not_given_out_is_asked_for_once(
    downloader, server, tmp_path, status, sentence
):
    server.always["/a.dng"] = busy(status)
    with pytest.raises(NotOnServer, match=sentence):
        fetch(downloader, server, tmp_path)
    assert len(server.requests) == 1


def test_no_more_connections_than_allowed(server, tmp_path):
    downloader = Downloader(connections=2, patience=PATIENCE)
    server.always["/a.dng"] = lambda handler, content: time.sleep(0.05) or False
    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        for number in range(6):
            threads.submit(downloader.fetch, f"{server.url}a.dng", tmp_path / str(number))
    assert downloader.report()["files"] == 6
    assert server.most_at_once == 2


def test_stopping_ends_a_fetch_and_keeps_what_was_received(server, tmp_path):
    downloader = Downloader(patience=PATIENCE)
    server.always["/a.dng"] = trickle(20_000, 0.05)
    threading.Timer(0.2, downloader.stop).start()
    with pytest.raises(Stopped):
        fetch(downloader, server, tmp_path)
    assert 0 < (tmp_path / "got/a.dng.part").stat().st_size < len(CONTENT)


def test_a_host_that_cannot_be_reached_is_named_at_once(downloader, server, tmp_path):
    server.server_close()
    sentence = r"127\.0\.0\.1:\d+ cannot be reached .*Connection refused.*_PROXY"
    with pytest.raises(ServerUnreachable, match=sentence):
        fetch(downloader, server, tmp_path)
    with pytest.raises(ServerUnreachable, match=r"fivek\.invalid cannot be reached"):
        downloader.fetch("http://fivek.invalid/a.dng", tmp_path / "a.dng")


def test_the_proxy_of_the_environment_is_used(server, tmp_path, monkeypatch):
    (server.folder / "http:/photos.invalid").mkdir(parents=True)
    (server.folder / "http:/photos.invalid/a.dng").write_bytes(CONTENT)
    monkeypatch.setenv("http_proxy", server.url)
    got = Downloader().fetch("http://photos.invalid/a.dng", tmp_path / "got/a.dng")
    assert_whole(got, tmp_path)
