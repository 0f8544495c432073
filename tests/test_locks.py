"""The locks hold what pyproject.toml asks for, and nothing of one machine."""

import functools
import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

LOCKS = {
    "requirements.txt": ("tensorflow", "workbook"),
    "requirements-cuda.txt": ("cuda", "workbook"),
    "requirements-jax.txt": ("jax", "workbook"),
    "requirements-jax-cuda.txt": ("jax-cuda", "workbook"),
    "requirements-dev.txt": ("tensorflow", "jax", "workbook", "video", "dev"),
}
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = (
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    {"sys_platform": "darwin", "platform_system": "Darwin"},
    {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
)


@functools.cache
def pins(lock):
    """Returns the pinned requirements of a lock."""
    lines = (ROOT / lock).read_text().splitlines()
    return [
        Requirement(line.rstrip("\\").strip())
        for line in lines
        if re.match(r"[a-zA-Z0-9]", line)
    ]


def chosen(lock, python, platform):
    """Returns name -> version of a lock on one Python and platform."""
    marks = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "platform_machine": "x86_64",
        **platform,
    }
    return {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin in pins(lock)
        if pin.marker is None or pin.marker.evaluate(marks)
    }


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("python", PYTHONS)
def test_locks_satisfy_the_bounds(lock, python):
    lines = list(PROJECT["dependencies"])
    for extra in LOCKS[lock]:
        lines += EXTRAS[extra]
    for platform in PLATFORMS:
        versions = chosen(lock, python, platform)
        for requirement in map(Requirement, lines):
            version = versions.get(canonicalize_name(requirement.name))
            assert version, f"{requirement.name} is not in {lock}"
            assert requirement.specifier.contains(version), requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_host_and_no_torch(lock):
    text = (ROOT / lock).read_text()
    assert "://" not in text and "index" not in text.split("\n", 3)[1]
    assert not re.search(r"^--", text, flags=re.M)
    names = {canonicalize_name(pin.name) for pin in pins(lock)}
    assert "torch" not in names
    entries = re.split(r"\n(?=[a-zA-Z0-9])", text)
    for entry in entries:
        if re.match(r"[a-zA-Z0-9]", entry):
            assert "--hash=sha256:" in entry, entry.split()[0]


@pytest.mark.parametrize("lock", ["requirements-jax.txt"])
def test_jax_lock_has_no_tensorflow(lock):
    names = {canonicalize_name(pin.name) for pin in pins(lock)}
    assert not any(name.startswith(("tensorflow", "tf-")) for name in names)


def test_default_lock_has_what_the_workbook_is_known_for():
    names = {canonicalize_name(pin.name) for pin in pins("requirements.txt")}
    assert names >= {
        "jupyterlab",
        "papermill",
        "tensorflow",
        "keras",
        "tensorflow-probability",
        "matplotlib",
        "ipywidgets",
        "nbval",
    }
    cuda = {pin.name for pin in pins("requirements-cuda.txt")}
    assert any(name.startswith("nvidia-") for name in cuda)


def test_tested_versions_are_the_installed_ones():
    for platform in PLATFORMS:
        for python in PYTHONS:
            tested = chosen("requirements-dev.txt", python, platform)
            for lock in LOCKS:
                versions = chosen(lock, python, platform)
                for name in versions.keys() & tested.keys():
                    assert versions[name] == tested[name], (lock, name)


def test_every_dependency_has_both_bounds():
    groups = [PROJECT["dependencies"], *EXTRAS.values()]
    for line in (line for group in groups for line in group):
        operators = {spec.operator for spec in Requirement(line).specifier}
        assert operators == {">=", "<"}, line


def test_pins_have_the_extras_that_packages_ask_for():
    """Else pip looks for the newest `name[extra]`, which has no hash."""
    extras = {
        canonicalize_name(pin.name): pin.extras
        for pin in pins("requirements-dev.txt")
    }
    asked = set()
    for name, chosen_extras in extras.items():
        try:
            lines = importlib.metadata.requires(name) or ()
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform
        for requirement in map(Requirement, lines):
            marks = [{"extra": extra} for extra in ("", *chosen_extras)]
            marker = requirement.marker
            if marker is None or any(map(marker.evaluate, marks)):
                wanted = canonicalize_name(requirement.name)
                asked.update((wanted, extra) for extra in requirement.extras)
    assert ("coverage", "toml") in asked
    missing = {(n, e) for n, e in asked if e not in extras.get(n, ())}
    assert not missing
