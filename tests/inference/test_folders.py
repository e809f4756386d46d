"""Folders as people have them: what counts as a photo, what is left alone, and that it is said."""

import shutil

import pytest

from datasets.sources.named_pairs import find_named_pairs
from enhancer.photo.finder import describe, find_photos
from enhancer.photo.io import encode_jpeg
from tests.helpers.command import files, run, write
from tests.helpers.pair_folders import soft_photo

JPEG = encode_jpeg(soft_photo())


def put(folder, *names, content=JPEG):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def names(folder):
    return [str(path.relative_to(folder)) for path in find_photos(folder)[0]]


def test_a_photo_is_one_by_its_content_whatever_its_name_ends_in(tmp_path):
    photos = ["a.jpg", "chrome.jfif", "kitchen.2024", "no_ending", "old.jpe"]
    put(tmp_path, *photos)
    put(tmp_path, "notes.txt", content=b"call back")
    put(tmp_path, "new.avif", content=b"\0\0\0\x1cftypavif")
    assert names(tmp_path) == photos
    said = list(describe(find_photos(tmp_path)[1]))
    assert said == ["files of other kinds: 2 (.avif, .txt)"]


@pytest.mark.parametrize("name", ["a.jpg.part", "a.jpg_original", "a.jpg~", "MVI_1.THM", "._a.jpg"])
def test_half_downloads_and_copies_for_safety_are_left_alone(tmp_path, name):
    put(tmp_path, "a.jpg", name)
    assert names(tmp_path) == ["a.jpg"]


@pytest.mark.parametrize(
    "folder",
    [
        *(".thumbnails", "@eaDir", ".Trash-1000/files", "$RECYCLE.BIN/S-1", ".AppleDouble"),
        *("__MACOSX", "#recycle", "System Volume Information", ".@__thumb", "a/b/.picasaoriginals"),
        *("Catalog Previews.lrdata/1", "lost+found", "Thumbnails"),
    ],
)
def test_hidden_thumbnail_and_trash_folders_are_left_alone_and_counted(tmp_path, folder):
    put(tmp_path, "a.jpg", "@home/b.jpg", f"{folder}/t.jpg")
    assert names(tmp_path) == ["@home/b.jpg", "a.jpg"]
    (said,) = describe(find_photos(tmp_path)[1])
    assert said.startswith("hidden, thumbnail or trash folders: 1 (")


def test_a_folder_that_is_hidden_is_searched_when_it_is_named(tmp_path):
    put(tmp_path, ".cache/photos/a.jpg")
    assert names(tmp_path / ".cache") == ["photos/a.jpg"]


def test_linked_folders_are_counted_and_searched_only_when_they_are_named(tmp_path):
    put(tmp_path, "in/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "in/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/circle").symlink_to(tmp_path / "in")
    assert names(tmp_path / "in") == ["a.jpg"]
    (said,) = describe(find_photos(tmp_path / "in")[1])
    assert said == "linked folders, searched when named: 2 (circle, link)"
    assert names(tmp_path / "in/link") == ["b.jpg"]


def test_the_data_sets_follow_the_same_rules(tmp_path):
    put(tmp_path, "1_src.jfif", "1_tar.jpe", "@eaDir/2_src.jpg", ".Trash-1000/3_src.jpg")
    assert [pair.id for pair in find_named_pairs(tmp_path)] == ["1"]


def test_the_command_counts_what_it_leaves_out(enhancer, tmp_path, capsys):
    put(tmp_path, "in/a.jpg", "in/b.jfif", "in/@eaDir/t.jpg", "in/.hidden.jpg")
    put(tmp_path, "in/a.xmp", content=b"<x/>")
    (tmp_path / "in/same.jpg").symlink_to("a.jpg")
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["a.jpg", "b.jpg"]
    printed = capsys.readouterr().out
    for said in ("left out", "folders: 1 (@eaDir)", "files: 1 (.hidden.jpg)", "kinds: 1 (.xmp)"):
        assert said in printed
    assert "links to photos that are there too: 1 (same.jpg)" in printed


def test_a_link_to_nothing_that_is_called_a_photo_is_named(enhancer, tmp_path, capsys):
    write(tmp_path / "in/a.jpg")
    (tmp_path / "in/dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 1
    assert "dangling.jpg does not exist" in capsys.readouterr().out


def test_a_second_card_of_the_same_names_is_edited_too(enhancer, tmp_path, capsys):
    write(tmp_path / "card1/IMG_0001.JPG", tmp_path / "other.jpg", tmp_path / "card2/IMG_0001.JPG")
    out = tmp_path / "out"
    for _ in range(2):  # the second time all is there
        assert run(tmp_path / "card1", "--output", out) == 0
        assert run(tmp_path / "card2", "--output", out) == 0
    assert files(out) == ["IMG_0001.jpg", "IMG_0001_2.jpg"]
    assert enhancer.count == 2
    assert "another photo's result has the name" in capsys.readouterr().out
    first = (out / "IMG_0001.jpg").read_bytes()
    assert run(tmp_path / "card2", "--output", out, "--overwrite") == 0
    assert (out / "IMG_0001.jpg").read_bytes() == first


def test_a_card_that_was_copied_elsewhere_is_the_same_card(enhancer, tmp_path):
    write(tmp_path / "card/a.jpg")
    assert run(tmp_path / "card", "--output", tmp_path / "out") == 0
    shutil.move(tmp_path / "card", tmp_path / "copied")
    assert run(tmp_path / "copied", "--output", tmp_path / "out") == 0
    assert enhancer.count == 1


def test_a_record_that_a_kill_tore_stops_nobody(enhancer, tmp_path):
    write(tmp_path / "one/a.jpg", tmp_path / "two/a.jpg")
    assert run(tmp_path / "one", "--output", tmp_path / "out") == 0
    with open(tmp_path / "out/.enhancer.jsonl", "ab") as record:
        record.write(b'\n{"result": "b.j')
    assert run(tmp_path / "two", "--output", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["a.jpg", "a_2.jpg"]
