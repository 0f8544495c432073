"""Tests of attnlib.paths."""

import errno
import os
import stat

import pytest

from attnlib import paths


def test_environment_names_the_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("ATTNLIB_CACHE", str(tmp_path / "c"))
    monkeypatch.setenv("ATTNLIB_REPORTS", str(tmp_path / "r"))
    monkeypatch.setenv("ATTNLIB_DATA", str(tmp_path / "d"))
    assert paths.cache_dir() == tmp_path / "c"
    assert paths.reports_dir() == tmp_path / "r"
    assert paths.data_dir() == tmp_path / "d"


def test_a_checkout_keeps_cache_and_reports_inside(monkeypatch, tmp_path):
    monkeypatch.delenv("ATTNLIB_CACHE")
    monkeypatch.delenv("ATTNLIB_REPORTS")
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    assert paths.cache_dir() == tmp_path / "data" / "cache"
    assert paths.reports_dir() == tmp_path / "reports"


def test_an_installed_package_uses_the_users_folders(monkeypatch, tmp_path):
    monkeypatch.delenv("ATTNLIB_CACHE")
    monkeypatch.delenv("ATTNLIB_REPORTS")
    monkeypatch.delenv("ATTNLIB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(paths, "root", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert paths.cache_dir() == tmp_path / "attnlib"
    assert paths.reports_dir() == tmp_path / "reports"
    assert paths.data_dir() is None


def test_atomic_write_makes_folders_and_leaves_one_file(tmp_path):
    target = tmp_path / "a" / "b.txt"
    with paths.atomic_write(target) as file:
        file.write("é")
        assert not target.exists()
    assert target.read_text(encoding="utf-8") == "é"
    assert os.listdir(target.parent) == ["b.txt"]


def test_atomic_write_respects_the_umask(tmp_path):
    target = tmp_path / "shared"
    before = os.umask(0o022)
    try:
        with paths.atomic_write(target, "wb") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


def test_atomic_write_keeps_the_old_file_on_an_error(tmp_path):
    target = tmp_path / "kept"
    target.write_text("old")
    with pytest.raises(KeyError), paths.atomic_write(target) as file:
        file.write("half")
        raise KeyError("stop")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["kept"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_atomic_write_explains_a_disk_that_cannot_be_written(
    monkeypatch, tmp_path, number
):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    target = tmp_path / "result.json"
    with pytest.raises(OSError, match="ATTNLIB_REPORTS") as caught:
        with paths.atomic_write(target) as file:
            file.write("text")
    assert str(target) in str(caught.value)
    assert caught.value.errno == number
    assert os.listdir(tmp_path) == []


def test_set_aside_never_overwrites(tmp_path):
    names = []
    for _ in range(3):
        bad = tmp_path / "state"
        bad.write_text("?")
        names.append(paths.set_aside(bad).name)
    assert names == ["state.corrupt", "state.corrupt-2", "state.corrupt-3"]
    assert not (tmp_path / "state").exists()
