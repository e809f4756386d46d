"""The photos in FiveK's archive are found from its headers, once, and what is wrong with it is said."""

import io
import os
import tarfile

import pytest

from datasets.fivek.archive_index import read_index
from datasets.sources import SourceError

PHOTOS = "fivek_dataset/raw_photos/HQa1to700/photos"


def add(tar, name, content):
    header = tarfile.TarInfo(name)
    header.size = len(content)
    tar.addfile(header, io.BytesIO(content))


def archive_of(path, *names):
    with tarfile.open(path, "w") as tar:
        for name in names:
            add(tar, name, name.encode())
    return path


@pytest.mark.parametrize("into", ["header", "between"])
def test_an_archive_without_an_end_is_noticed_wherever_it_is_cut(tmp_path, into):
    path = archive_of(tmp_path / "a.tar", f"{PHOTOS}/a1.dng", f"{PHOTOS}/a2.dng")
    os.truncate(path, 1024 + {"header": 100, "between": 0}[into])
    index = read_index(path, tmp_path / "index.json")
    assert (list(index.members), index.is_whole) == (["a1"], False)
    assert not index.is_cut_off("a1")
    assert index.is_cut_off("a2")


def test_a_damaged_header_is_no_end(tmp_path):
    path = archive_of(tmp_path / "a.tar", f"{PHOTOS}/a1.dng", f"{PHOTOS}/a2.dng")
    with open(path, "r+b") as file:
        file.seek(1024)
        file.write(b"\xff" * 512)
    assert not read_index(path, tmp_path / "index.json").is_whole


def test_the_same_name_in_two_folders_of_the_archive_is_refused(tmp_path):
    path = archive_of(
        tmp_path / "a.tar", f"{PHOTOS}/a1.dng", f"{PHOTOS.replace('700', '900')}/a1.dng"
    )
    with pytest.raises(
        SourceError,
        match=r"HQa1to700/photos/a1\.dng and .*HQa1to900/photos/a1\.dng have the same name",
    ):
        read_index(path, tmp_path / "index.json")


def test_a_photo_that_was_added_again_counts_once(tmp_path):
    path = archive_of(tmp_path / "a.tar", f"{PHOTOS}/a1.dng", f"{PHOTOS}/a1.dng")
    assert read_index(path, tmp_path / "index.json").members["a1"].offset == 3 * 512


@pytest.mark.parametrize("content", [b"", b"no tar" * 1000, b"\x1f\x8b\x08" + bytes(600)])
def test_a_file_that_is_no_tar_is_refused(tmp_path, content):
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.tar is no tar file|a\.tar holds no photos"):
        read_index(tmp_path / "a.tar", tmp_path / "index.json")


def test_the_index_is_made_once_for_an_archive(tmp_path, monkeypatch):
    path = archive_of(tmp_path / "a.tar", f"{PHOTOS}/a1.dng")
    index = read_index(path, tmp_path / "index.json")
    monkeypatch.setattr("datasets.fivek.archive_index._scan", None)
    assert read_index(path, tmp_path / "index.json") == index


@pytest.mark.parametrize(
    "damage",
    [b"", b"[]", b'{"format": 1}', b'{"format": 0}', b'{"format": 1, "members": {"a": {}}}'],
)
def test_a_damaged_index_is_made_anew(tmp_path, damage):
    path = archive_of(tmp_path / "a.tar", f"{PHOTOS}/a1.dng")
    (tmp_path / "index.json").write_bytes(damage)
    assert list(read_index(path, tmp_path / "index.json").members) == ["a1"]


def test_another_archive_gets_another_index(tmp_path):
    read_index(archive_of(tmp_path / "a.tar", f"{PHOTOS}/a1.dng"), tmp_path / "index.json")
    path = archive_of(tmp_path / "a.tar", f"{PHOTOS}/a2.dng", f"{PHOTOS}/a3.dng")
    assert list(read_index(path, tmp_path / "index.json").members) == ["a2", "a3"]


def test_a_large_archive_is_not_read_to_find_its_photos(tmp_path):
    """A terabyte of nothing, which no file system stores: only headers are read."""
    path = tmp_path / "a.tar"
    with open(path, "wb") as file:
        for number in range(8):
            header = tarfile.TarInfo(f"{PHOTOS}/a{number}.dng")
            header.size = 1 << 37
            file.write(header.tobuf(tarfile.GNU_FORMAT))
            file.seek(header.size, os.SEEK_CUR)
        file.write(bytes(1024))
    index = read_index(path, tmp_path / "index.json")
    assert index.is_whole
    assert len(index.members) == 8


def test_a_sparse_photo_is_refused(tmp_path):
    header = tarfile.TarInfo(f"{PHOTOS}/a1.dng")
    header.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.realsize": "9",
    }
    content = b"1\n0\n9\n".ljust(512, b"\0") + b"a picture"
    header.size = len(content)
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(header, io.BytesIO(content))
    with pytest.raises(SourceError, match=r"a1\.dng is stored in pieces"):
        read_index(tmp_path / "a.tar", tmp_path / "index.json")


def test_long_names_and_both_formats_of_tar_are_read(tmp_path):
    names = [f"{'long/' * 40}{PHOTOS}/a1-{'x' * 150}.dng", f"{PHOTOS}/a2-grün.DNG"]
    for tar_format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        path = tmp_path / f"{tar_format}.tar"
        with tarfile.open(path, "w", format=tar_format) as tar:
            for name in names:
                add(tar, name, name.encode())
        for member in read_index(path, tmp_path / "index.json").members.values():
            assert path.read_bytes()[member.offset :][: member.size].decode() == member.path


def test_folders_links_and_photos_elsewhere_are_left_alone(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, f"{PHOTOS}/a1.dng", b"a picture")
        add(tar, "fivek_dataset/raw_photos/a2.dng", b"elsewhere")
        add(tar, f"{PHOTOS}/a3.txt", b"no photo")
        for name, kind in (("a4.dng", tarfile.DIRTYPE), ("a5.dng", tarfile.SYMTYPE)):
            header = tarfile.TarInfo(f"{PHOTOS}/{name}")
            header.type, header.linkname = kind, "a1.dng"
            tar.addfile(header)
    assert list(read_index(tmp_path / "a.tar", tmp_path / "index.json").members) == ["a1"]
