"""FiveK's archive gives the same data set as its photos extracted, and what is wrong with it is said."""

import hashlib
import io
import json
import os
import shutil
import tarfile

import pytest

from datasets import build, miniature, workers
from datasets.__main__ import build as command
from datasets.fivek.archive_checksum import verify_archive
from datasets.fivek.archive_index import read_index
from datasets.fivek.archived_photos import ArchivedPhotos
from datasets.fivek.official_files import Request
from datasets.pair_builder import SourceChanged
from datasets.preparation import Options, prepare, source_fingerprint
from datasets.sources import SourceError

OPTIONS = Options("fivek", "expert C", 1024)
PHOTOS = "fivek_dataset/raw_photos/HQa1to700/photos"


@pytest.fixture(scope="module", autouse=True)
def prepare_in_this_process():
    """Starting worker processes takes a second, and most of these tests prepare four pairs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "default_count", lambda: 0)
        yield


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Four pairs in the layout of the single files."""
    out = tmp_path_factory.mktemp("miniature")
    miniature.write(out, long_edge=96, fivek_pairs=4, experts="ca", real_estate_pairs={})
    return out / "fivek"


@pytest.fixture
def archived(local, tmp_path):
    """A folder with the archive of the four DNGs, in two folders, and their TIFFs beside it."""
    folder = tmp_path / "fivek"
    shutil.copytree(local / "img/tiff16_c", folder / "tiff16_c")
    with tarfile.open(folder / "fivek_dataset.tar", "w") as tar:
        tar.add(local / "names.txt", "fivek_dataset/filesAdobe.txt")
        for number, path in enumerate(sorted((local / "img/dng").iterdir())):
            tar.add(
                path,
                f"fivek_dataset/raw_photos/{('HQa1to700', 'HQa1400to2100')[number % 2]}/photos/{path.name}",
            )
            add(tar, f"{PHOTOS}/._{path.name}")
    return folder


def add(tar, name, content=b"a resource fork"):
    header = tarfile.TarInfo(name)
    header.size = len(content)
    tar.addfile(header, io.BytesIO(content))


def photos_of(folder, scratch):
    return ArchivedPhotos(
        folder / "fivek_dataset.tar", folder, "c", scratch, scratch.with_name("index.json")
    )


def prepare_archived(folder, tmp_path, photos=None):
    photos = photos or photos_of(folder, tmp_path / "scratch")
    return prepare(
        photos.folder, photos.find_pairs, tmp_path / "out", OPTIONS, originals=photos, num_workers=0
    )


def rejected(tmp_path):
    return {
        row["id"]: row
        for row in map(json.loads, (tmp_path / "out/rejected.jsonl").read_text().splitlines())
    }


def records(data_dir):
    return {path.name: path.read_bytes() for path in data_dir.glob("fivek/*/*/*array_record*")}


@pytest.mark.parametrize("tiffs", ["tiff16_c", "img/tiff16_c"])
@pytest.mark.parametrize("named", ["", "fivek_dataset.tar"])
def test_the_archive_has_the_records_of_its_extracted_photos(
    local, archived, tmp_path, named, tiffs
):
    if tiffs != "tiff16_c":
        (archived / "img").mkdir()
        (archived / "tiff16_c").rename(archived / tiffs)
    before = sorted(archived.rglob("*"))
    build.build("fivek", archived / named, tmp_path / "archived")
    build.build("fivek", local, tmp_path / "local")
    assert records(tmp_path / "archived") == records(tmp_path / "local")
    assert len(records(tmp_path / "local")) == 2
    assert sorted(archived.rglob("*")) == before
    names = {path.name for path in (tmp_path / "archived/prepared").iterdir()}
    assert names == {"fivek-c_1024", "fivek_dataset.tar.index.json"}


def test_both_forms_of_the_extracted_archive_have_its_records(archived, tmp_path):
    build.build("fivek", archived, tmp_path / "archived")
    with tarfile.open(archived / "fivek_dataset.tar") as tar:
        tar.extractall(archived, filter="data")
    build.build("fivek", archived, tmp_path / "extracted")
    (archived / "tiff16_c").rename(archived / "fivek_dataset/tiff16_c")
    build.build("fivek", archived / "fivek_dataset", tmp_path / "inside")
    assert (
        records(tmp_path / "archived")
        == records(tmp_path / "extracted")
        == records(tmp_path / "inside")
    )


def test_a_data_set_from_an_archive_is_recognised_and_a_changed_archive_too(
    archived, tmp_path, capsys
):
    build.build("fivek", archived, tmp_path / "data")
    build.build("fivek", archived, tmp_path / "data")
    assert "already built" in capsys.readouterr().out
    os.utime(archived / "fivek_dataset.tar", (0, 0))
    with pytest.raises(SourceChanged, match=r"fivek has changed since.*--overwrite"):
        build.build("fivek", archived, tmp_path / "data")


def test_an_archive_that_is_gone_does_not_stop_what_was_built_from_it(archived, tmp_path, capsys):
    build.build("fivek", archived / "fivek_dataset.tar", tmp_path / "data")
    shutil.rmtree(archived)
    build.build("fivek", archived / "fivek_dataset.tar", tmp_path / "data")
    assert "is no longer there: using fivek/c_1024/1.0.0 as it was built" in capsys.readouterr().err


def test_no_more_photos_are_copied_out_than_are_in_hand(archived, tmp_path):
    copied = []

    class Counts(ArchivedPhotos):
        def _copy_out(self, pair):
            super()._copy_out(pair)
            copied.append(len(os.listdir(tmp_path / "scratch")))

    photos = Counts(
        archived / "fivek_dataset.tar", archived, "c", tmp_path / "scratch", tmp_path / "index.json"
    )
    prepare_archived(archived, tmp_path, photos)
    assert len(copied) == 4
    assert max(copied) <= photos.pairs_at_once == 2


def test_what_a_killed_run_left_is_removed(archived, tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch/old.dng").touch()
    prepare_archived(archived, tmp_path)
    assert not (tmp_path / "scratch").exists()


def test_the_fingerprint_does_not_depend_on_the_scratch_folder(archived, tmp_path):
    fingerprints = set()
    for name in ("one", "two"):
        photos = photos_of(archived, tmp_path / name / "scratch")
        fingerprints.add(source_fingerprint(photos.find_pairs(archived), archived, OPTIONS, photos))
    assert len(fingerprints) == 1


def test_a_changed_tiff_changes_the_fingerprint(archived, tmp_path):
    photos = photos_of(archived, tmp_path / "scratch")
    before = source_fingerprint(photos.find_pairs(archived), archived, OPTIONS, photos)
    os.utime(next((archived / "tiff16_c").iterdir()), (0, 0))
    assert source_fingerprint(photos.find_pairs(archived), archived, OPTIONS, photos) != before


def test_photos_of_a_cut_off_archive_are_used_up_to_its_end(archived, tmp_path, capsys):
    index = read_index(archived / "fivek_dataset.tar", tmp_path / "whole.json")
    names = sorted(index.members)
    os.truncate(archived / "fivek_dataset.tar", index.members[names[2]].offset + 100)
    metadata = prepare_archived(archived, tmp_path)
    assert metadata["counts"]["accepted"] == 2
    assert {name: row["kind"] for name, row in rejected(tmp_path).items()} == dict.fromkeys(
        names[2:], "cut off"
    )
    assert "is cut off or damaged: the photos up to there are used" in capsys.readouterr().err


def test_a_missing_tiff_and_a_missing_photo_are_named(archived, tmp_path):
    first, second = sorted((archived / "tiff16_c").iterdir())[:2]
    first.rename(first.with_name("a9999-x.tif"))
    prepare_archived(archived, tmp_path)
    reasons = {name: row["reason"] for name, row in rejected(tmp_path).items()}
    assert reasons == {
        first.stem: f"{first} is missing",
        "a9999-x": "a9999-x.dng is not in fivek_dataset.tar",
    }
    assert second.stem not in reasons


def test_an_archive_without_tiffs_beside_it_says_where_they_belong(archived, tmp_path):
    (archived / "tiff16_c").rename(archived / "tiff16_a")
    with pytest.raises(
        SourceError,
        match=r"no TIFFs of expert C beside it: .* holds .*tiff16_a/\. Put them in .*tiff16_c",
    ):
        build.build("fivek", archived, tmp_path / "data")


def test_rendered_inputs_beside_the_archive_are_built_instead_of_its_photos(
    local, archived, tmp_path
):
    shutil.copytree(local / "img/tiff16_a", archived / "img/input_tiff")
    build.build(
        "fivek", archived / "fivek_dataset.tar", tmp_path / "rendered", config="c_512_rendered"
    )
    shutil.copytree(local / "img/tiff16_a", tmp_path / "two/input")
    shutil.copytree(local / "img/tiff16_c", tmp_path / "two/output_expert_C")
    build.build("fivek", tmp_path / "two", tmp_path / "two_folders", config="c_512")
    content = [sorted(records(tmp_path / name).values()) for name in ("rendered", "two_folders")]
    assert content[0] == content[1]
    assert len(content[0]) == 2


def test_rendered_inputs_are_not_fetched(tmp_path):
    with pytest.raises(
        SourceError, match=r"no inputs for c_512_rendered that are known of\. Name a folder"
    ):
        build.build("fivek", None, tmp_path, config="c_512_rendered", request=Request())


@pytest.mark.parametrize(
    "form", ["{sha1}\n", "{upper}  fivek_dataset.tar\n", "{sha1} *fivek_dataset.tar"]
)
def test_a_published_sha1_is_compared(archived, capsys, form):
    archive = archived / "fivek_dataset.tar"
    sha1 = hashlib.sha1(archive.read_bytes()).hexdigest()
    (archived / "fivek_dataset.tar.sha1").write_text(form.format(sha1=sha1, upper=sha1.upper()))
    verify_archive(archived)
    verify_archive(archive)
    assert capsys.readouterr().err.count("has the SHA-1 that was published") == 2
    os.truncate(archive, archive.stat().st_size - 1)
    with pytest.raises(SourceError, match=f"expected {sha1}: it is cut off or damaged"):
        verify_archive(archived)


def test_without_a_sha1_nothing_is_verified(archived):
    with pytest.raises(SourceError, match=r"fivek_dataset\.tar\.sha1 is not there"):
        verify_archive(archived)
    (archived / "fivek_dataset.tar.sha1").write_text("<html>404</html>")
    with pytest.raises(SourceError, match="holds no SHA-1"):
        verify_archive(archived)
    with pytest.raises(SourceError, match=r"There is no .*tiff16_c/fivek_dataset\.tar to verify"):
        verify_archive(archived / "tiff16_c")


def test_the_command_verifies_before_it_does_anything(archived, tmp_path):
    (archived / "fivek_dataset.tar.sha1").write_text("0" * 40)
    with pytest.raises(SystemExit, match="it is cut off or damaged"):
        command("fivek", tmp_path / "data", archived, verify=True)
    assert not (tmp_path / "data").exists()
    with pytest.raises(SystemExit, match="--verify goes with fivek and --manual-dir"):
        command("fivek", tmp_path / "data", download=True, verify=True)
