import dataclasses
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import attnlib
from attnlib import datasets
from attnlib.datasets import registry, store


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "datasets" / "toy"


def put(folder, name, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def test_download_once_into_the_cache(toy, publisher, cache):
    assert datasets.fetch("toy") == [cache / "a.bin", cache / "b.bin"]
    assert (cache / "a.bin").read_bytes() == b"a" * 1000
    assert datasets.fetch("toy") == [cache / "a.bin", cache / "b.bin"]
    assert publisher.requests == ["/a.bin", "/b.bin"]
    visible = {path.name for path in cache.iterdir()} - {".lock"}
    assert visible == {"a.bin", "b.bin"}


def test_user_folder_comes_first(toy, publisher, tmp_path, monkeypatch, cache):
    mine = put(tmp_path / "mine" / "toy", "a.bin", b"a" * 1000)
    put(cache, "a.bin", b"a" * 1000)
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path / "mine"))
    assert store.locate(toy, "a.bin") == mine
    assert store.locate(toy, "b.bin") == cache / "b.bin"
    assert publisher.requests == ["/b.bin"]


def test_read_only_cache_that_is_complete_needs_no_lock(toy, cache):
    put(cache, "a.bin", b"a" * 1000)
    assert store.locate(toy, "a.bin") == cache / "a.bin"
    assert not (cache / ".lock").exists()


@pytest.mark.parametrize("content", [b"a" * 999, b"x" * 1000, b""])
def test_bad_user_file_is_named_and_left_alone(
    toy, publisher, tmp_path, monkeypatch, content
):
    mine = put(tmp_path / "mine" / "toy", "a.bin", content)
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path / "mine"))
    with pytest.raises(datasets.DatasetCorrupt, match="was not used") as caught:
        store.locate(toy, "a.bin")
    assert str(mine) in str(caught.value)
    assert list(mine.parent.iterdir()) == [mine]
    assert mine.read_bytes() == content
    assert not publisher.requests


@pytest.mark.parametrize("content", [b"a" * 999, b"x" * 1000, b""])
def test_bad_cached_file_is_kept_aside_and_replaced(toy, cache, content):
    bad = put(cache, "a.bin", content)
    with pytest.warns(UserWarning, match="is damaged") as caught:
        path = store.locate(toy, "a.bin")
    assert str(bad) in str(caught[0].message)
    assert path.read_bytes() == b"a" * 1000
    (kept,) = cache.glob("a.bin.corrupt-*")
    assert kept.read_bytes() == content
    assert len(kept.name) == len("a.bin.corrupt-") + 8


def test_file_that_changes_later_is_checked_again(toy, cache):
    path = store.locate(toy, "a.bin")
    path.write_bytes(b"x" * 1000)
    os.utime(path, ns=(1, 1))
    with pytest.warns(UserWarning, match="is damaged"):
        assert store.locate(toy, "a.bin").read_bytes() == b"a" * 1000


def test_wrong_download_is_kept_aside_and_never_used(toy, publisher, cache):
    publisher.files["a.bin"] = b"<html>please log in</html>"
    for _ in range(2):
        with pytest.raises(datasets.DatasetCorrupt, match="a wrong file") as e:
            store.locate(toy, "a.bin")
        assert "a.bin" in str(e.value) and publisher.url in str(e.value)
    assert not (cache / "a.bin").exists()
    (kept,) = cache.glob("a.bin.corrupt-*")
    assert kept.read_bytes() == b"<html>please log in</html>"


def test_broken_connection_leaves_nothing(toy, publisher, cache):
    publisher.cut = True
    with pytest.raises(datasets.DatasetUnavailable, match="broke off"):
        store.locate(toy, "a.bin")
    assert {path.name for path in cache.iterdir()} <= {".lock"}
    publisher.cut = None
    assert store.locate(toy, "a.bin").is_file()


def test_second_url_when_the_first_fails(toy, publisher):
    file = toy.files[0]
    urls = (publisher.url + "gone", *file.urls)
    other = dataclasses.replace(
        toy, files=(dataclasses.replace(file, urls=urls),)
    )
    assert store.locate(other, "a.bin").is_file()
    assert publisher.requests == ["/gone", "/a.bin"]


def test_part_of_a_killed_process_does_no_harm(toy, cache):
    put(cache, ".a.bin.part", b"z" * 5000)
    assert store.locate(toy, "a.bin").read_bytes() == b"a" * 1000
    assert not (cache / ".a.bin.part").exists()


def test_offline_and_absent(toy, publisher, tmp_path, monkeypatch):
    publisher.close()
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path / "mine"))
    with pytest.raises(datasets.DatasetUnavailable) as caught:
        datasets.fetch("toy")
    message = str(caught.value)
    assert isinstance(caught.value, OSError)
    for words in (
        "'toy'",
        "3.0 kB",
        "licence: CC0",
        "no connection",
        str(tmp_path / "mine" / "toy"),
        str(tmp_path / "cache" / "datasets" / "toy"),
        "python -m attnlib datasets fetch toy",
        "ATTNLIB_DATA",
        "a.bin, b.bin",
    ):
        assert words in message
    assert "\n" not in message


def test_not_found_on_the_server(toy, publisher):
    publisher.files.clear()
    with pytest.raises(datasets.DatasetUnavailable, match="HTTP 404"):
        store.locate(toy, "a.bin")


def test_cache_that_cannot_be_made(toy, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="set ATTNLIB_CACHE"):
        store.locate(toy, "a.bin")


def test_full_disk_while_downloading(toy, cache, monkeypatch):
    def full(url, path):
        Path(path).write_bytes(b"a")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_get", full)
    with pytest.raises(OSError, match="No space left.*ATTNLIB_CACHE"):
        store.locate(toy, "a.bin")
    assert {path.name for path in cache.iterdir()} == {".lock"}


def test_status_and_verify_change_nothing(toy, cache):
    assert {row["state"] for row in datasets.verify("toy")} == {"absent"}
    bad = put(cache, "a.bin", b"x" * 1000)
    put(cache, "b.bin", b"b" * 2000)
    rows = {row["file"]: row for row in datasets.verify("toy")}
    assert rows["a.bin"]["state"] == "corrupt"
    assert "SHA-256" in rows["a.bin"]["problem"]
    assert rows["b.bin"]["state"] == "present"
    assert bad.read_bytes() == b"x" * 1000
    assert rows["a.bin"] in datasets.verify()


# The package's own __init__ chooses a Keras backend; data sets need none, and
# a subprocess that goes without proves it (and starts in half the time).
WITHOUT_KERAS = """
    import sys, types
    package = types.ModuleType("attnlib")
    package.__path__ = [{package!r}]
    sys.modules["attnlib"] = package
    from attnlib.datasets import digits28, mnist, registry, store
"""


def run_without_keras(program, **values):
    values["package"] = str(Path(attnlib.__file__).parent)
    lines = textwrap.dedent(WITHOUT_KERAS) + textwrap.dedent(program)
    return subprocess.Popen(
        [sys.executable, "-c", lines.format(**values)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_fetch_at_once(toy, publisher, cache):
    publisher.delay = 1.0
    program = """
        file = registry.RemoteFile("a.bin", ({url!r},), {sha256!r}, 1000)
        toy = registry.DataSet(
            "toy", "", "", "", "", lambda split: {{}}, files=(file,)
        )
        print(store.locate(toy, "a.bin"))
    """
    file = toy.files[0]
    both = [
        run_without_keras(program, url=file.urls[0], sha256=file.sha256)
        for _ in range(2)
    ]
    for process in both:
        output, errors = process.communicate(timeout=120)
        assert (process.returncode, output) == (0, f"{cache / 'a.bin'}\n"), (
            errors
        )
    assert publisher.requests == ["/a.bin"]
    assert (cache / "a.bin").read_bytes() == b"a" * 1000


def test_no_backend_is_imported():
    program = """
        digits28.DATASET.read("test")
        loaded = {{"keras", "tensorflow", "jax", "torch"}} & set(sys.modules)
        print(sorted(loaded))
    """
    output, errors = run_without_keras(program).communicate(timeout=120)
    assert output == "[]\n", errors


def test_registry_is_complete():
    for name, dataset in registry.all_sets().items():
        assert name == dataset.name
        for text in ("description", "licence", "citation", "homepage"):
            assert getattr(dataset, text)
        assert all(option for option in dataset.options)
        for file in dataset.files:
            # One checksum each; MD5 only where nothing better is known. What
            # nobody can check is not downloaded.
            assert not (file.md5 and file.sha256)
            if file.checksum:
                digits = 32 if file.md5 else 64
                assert len(file.checksum) == digits and int(file.checksum, 16)
                assert file.size > 0
            else:
                assert not file.urls
            assert all(url.startswith("https://") for url in file.urls)
            assert all(url.endswith("/" + file.name) for url in file.urls)
            # A folder in the name is allowed, a way out of ours is not.
            assert not Path(file.name).is_absolute()
            assert ".." not in Path(file.name).parts


def test_sizes_for_people():
    found = [store.megabytes(size) for size in (0, 1200, 11_600_000)]
    assert found == ["size not known", "1.2 kB", "11.6 MB"]
