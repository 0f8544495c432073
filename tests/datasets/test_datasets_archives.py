import io
import tarfile
import zipfile

import pytest

from attnlib.datasets.archives import UnsafeArchive, extract

GOOD = {"data/one.txt": b"one", "data/deep/two.txt": b"two" * 1000}


def make_zip(path, members, **kwargs):
    with zipfile.ZipFile(path, "w", **kwargs) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return path


def make_tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as file:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            file.addfile(entry, io.BytesIO(content))
    return path


def everything(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_good_archive(tmp_path, make):
    archive = make(tmp_path / "archive", GOOD)
    folder = extract(archive, tmp_path / "new" / "out")
    assert everything(folder) == GOOD
    assert everything(folder.parent) == {
        f"out/{name}": content for name, content in GOOD.items()
    }


@pytest.mark.parametrize("mode", ["w", "w:bz2", "w:xz"])
def test_tar_compressions(tmp_path, mode):
    archive = make_tar(tmp_path / "archive", GOOD, mode)
    assert everything(extract(archive, tmp_path / "out")) == GOOD


def test_tar_of_a_folder_itself(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").write_bytes(b"x")
    with tarfile.open(tmp_path / "t.tar", "w") as file:
        file.add(tmp_path / "in", arcname=".")
    folder = extract(tmp_path / "t.tar", tmp_path / "out")
    assert everything(folder) == {"x": b"x"}


def test_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    inner = make_zip(tmp_path / "in.zip", {"x": b"x"}).read_bytes()
    archive = make_tar(tmp_path / "t.tar", {"in.zip": inner}, "w")
    assert everything(extract(archive, tmp_path / "out")) == {"in.zip": inner}


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "a/..",
        "/tmp/evil",
        "C:/evil",
        "C:evil",
        "..\\evil",
        "a\\b",
    ],
)
def test_path_outside_is_refused_before_anything_is_written(
    tmp_path, make, name
):
    archive = make(tmp_path / "archive", GOOD | {name: b"evil"})
    with pytest.raises(UnsafeArchive, match="was not unpacked") as caught:
        extract(archive, tmp_path / "deep" / "out")
    assert repr(name) in str(caught.value)
    assert set(tmp_path.rglob("*")) == {archive, tmp_path / "deep"}


@pytest.mark.parametrize(
    "kind, word",
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "special file"),
        (tarfile.BLKTYPE, "special file"),
        (tarfile.FIFOTYPE, "special file"),
    ],
)
def test_tar_links_and_devices_are_refused(tmp_path, kind, word):
    archive = tmp_path / "archive.tar"
    with tarfile.open(archive, "w") as file:
        entry = tarfile.TarInfo("innocent")
        entry.type, entry.linkname = kind, "/etc/passwd"
        file.addfile(entry)
    with pytest.raises(UnsafeArchive, match=f"'innocent' is a {word}"):
        extract(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


def test_zip_link_is_refused(tmp_path):
    archive = tmp_path / "archive.zip"
    entry = zipfile.ZipInfo("innocent")
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(UnsafeArchive, match="'innocent' is a link"):
        extract(archive, tmp_path / "out")


@pytest.mark.parametrize("names", [("a", "A"), ("a", "a/b"), ("a", "./a")])
def test_colliding_members_are_refused(tmp_path, names):
    archive = make_tar(tmp_path / "archive", dict.fromkeys(names, b""))
    with pytest.raises(UnsafeArchive, match="path of another file"):
        extract(archive, tmp_path / "out")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_too_big_when_unpacked(tmp_path, make):
    archive = make(tmp_path / "archive", {"zeros": bytes(10**6)})
    with pytest.raises(UnsafeArchive, match="1000000 bytes"):
        extract(archive, tmp_path / "out", max_bytes=10**6 - 1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("keep", [0, 10, 0.6])
def test_truncated_archive(tmp_path, make, keep):
    archive = make(tmp_path / "archive", {"noise": bytes(range(256)) * 4096})
    content = archive.read_bytes()
    keep = int(len(content) * keep) if isinstance(keep, float) else keep
    archive.write_bytes(content[:keep])
    with pytest.raises(UnsafeArchive, match="archive"):
        extract(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


def test_zip_with_a_wrong_checksum(tmp_path):
    archive = make_zip(tmp_path / "archive", {"a": b"content"})
    damaged = archive.read_bytes().replace(b"content", b"CONTENT")
    archive.write_bytes(damaged)
    with pytest.raises(UnsafeArchive, match="not a whole"):
        extract(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


def test_no_archive_at_all(tmp_path):
    (tmp_path / "page.html").write_text("<html>sorry</html>")
    with pytest.raises(UnsafeArchive, match="not a whole zip or tar"):
        extract(tmp_path / "page.html", tmp_path / "out")


def test_folder_exists(tmp_path):
    archive = make_zip(tmp_path / "archive", GOOD)
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="already exists"):
        extract(archive, tmp_path / "out")
