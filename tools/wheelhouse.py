"""Collects wheels for a GPU machine that has no network: `make wheelhouse`.

The machine is Linux x86-64 with Python 3.12 and has the packages named in
wheelhouse-provided.txt, JAX with CUDA among them. What else it takes to run
notebooks and draw the report goes into wheelhouse/, hash by hash from
requirements-jax.txt, with the command that installs it.

Runs in .venv-jax, for its pip and its `packaging`.
"""

import collections
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements-jax.txt"
PROVIDED = ROOT / "wheelhouse-provided.txt"
TARGET = ROOT / "wheelhouse"
LIMIT_MB = 40

# Packages without wheels; their source is pure Python.
SOURCE_ONLY = frozenset({"connection-pool", "docopt"})

# What people use in front of a screen: not asked for on that machine.
INTERACTIVE = frozenset({"jupyterlab", "nbval"})
# Large, and the packages that name them run without (tried, see README):
# a debugger for ipykernel, completion for ipython, and solvers for Snakemake,
# whose default here is the greedy scheduler.
LEFT_OUT = frozenset({"debugpy", "jedi", "pulp"})

MACHINE = {
    "implementation_name": "cpython",
    "implementation_version": "3.12.0",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.12.0",
    "python_version": "3.12",
    "sys_platform": "linux",
}

README = """\
# Wheels for an offline GPU machine

For Linux x86-64 and Python 3.12 with these packages of its own:
{provided}.

In the repository's root there:

    python3 -m pip install --no-index --no-deps --find-links wheelhouse \\
        -r wheelhouse/requirements.txt
    make report BACKEND=jax DEVICE=gpu VENV=none

What the machine already has stays as it is, where its version fits. Without
write access to its packages, add `--target DIR` to the first command and set
`PYTHONPATH=DIR` for the second.

`--no-deps`, because three large packages are left out that nothing here calls:
debugpy, jedi and pulp. JupyterLab and nbval are left out, too.

Made by `make wheelhouse` out of requirements-jax.txt.
It holds {count} wheels, {size:.1f} MB.
"""


def read_lock(path):
    """Returns what a lock says for the machine.

    The text of an entry loses its marker: pip evaluates markers for the
    Python that it runs in, which is not the machine's.

    Args:
        path: the lock, with uv's `# via` comments.

    Returns:
        name -> text with hashes, and name -> names that it depends on.
    """
    texts, needs = {}, collections.defaultdict(set)
    for entry in re.split(r"\n(?=[a-zA-Z0-9])", path.read_text("utf-8")):
        comments = re.findall(r"^ +#(?: via)? *(.*)$", entry, flags=re.M)
        code = re.sub(r"^ *#.*$", "", entry, flags=re.M)
        first, *hashes = code.replace("\\\n", "").split(" --hash=")
        if not first.strip():
            continue
        requirement = Requirement(first.strip())
        marker = requirement.marker
        if marker is not None and not marker.evaluate(MACHINE):
            continue
        name = canonicalize_name(requirement.name)
        lines = [f"{requirement.name}{requirement.specifier}"]
        lines += [f"    --hash={hash_.strip()}" for hash_ in hashes]
        texts[name] = " \\\n".join(lines)
        for parent in comments:
            needs[canonicalize_name(parent)].add(name)
    return texts, needs


def read_names(path):
    """Returns the package names of a file with one a line and comments."""
    text = path.read_text("utf-8")
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return [canonicalize_name(line) for line in lines if line]


def with_dependencies(names, needs, without=frozenset()):
    """Returns the names and everything that they need.

    Args:
        names: the names to begin with.
        needs: function from a name to the names that it needs.
        without: names that are left out, with what only they need.
    """
    found, queue = set(), list(names)
    while queue:
        name = queue.pop()
        if name not in found and name not in without:
            found.add(name)
            queue += needs(name)
    return found


def needs_by_metadata(name):
    """Returns what an installed package needs on the machine.

    More exact than the lock, which also says what it needs elsewhere: of what
    the machine has, nothing may be assumed too much.
    """
    try:
        lines = importlib.metadata.requires(name) or ()
    except importlib.metadata.PackageNotFoundError:
        return []
    needs = [Requirement(line) for line in lines]
    return [
        canonicalize_name(need.name)
        for need in needs
        if need.marker is None or need.marker.evaluate({**MACHINE, "extra": ""})
    ]


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*command, *map(str, arguments)], check=True)


def collect(entries, folder):
    """Puts the wheels of lock entries into a folder, hashes checked."""
    wheels, sources = folder / "wheels.txt", folder / "sources.txt"
    wheels.write_text(_lines(entries, lambda n: n not in SOURCE_ONLY))
    sources.write_text(_lines(entries, lambda n: n in SOURCE_ONLY))
    # pip matches each tag exactly; 2.28 is the oldest glibc still in use.
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(5, 29)]
    platforms += ["manylinux1_x86_64", "manylinux2010_x86_64"]
    platforms += ["manylinux2014_x86_64", "linux_x86_64"]
    pip(
        *("download", "-qq", "--no-deps", "--require-hashes"),
        *("--only-binary=:all:", "--implementation=cp"),
        *("--python-version=3.12", f"--dest={folder}"),
        *(f"--platform={platform}" for platform in platforms),
        *("-r", wheels),
    )
    pip(
        *("wheel", "-qq", "--no-deps", "--require-hashes"),
        *(f"--wheel-dir={folder}", "-r", sources),
    )
    wheels.unlink()
    sources.unlink()


def _lines(entries, wanted):
    return "".join(f"{e}\n" for n, e in entries.items() if wanted(n))


def direct_requirements():
    """Returns name -> what pyproject.toml asks for on such a machine."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["jax"], *extras["workbook"]]
    named = {canonicalize_name(Requirement(line).name): line for line in lines}
    return {n: line for n, line in named.items() if n not in INTERACTIVE}


def describe(folder, names):
    """Writes the README and the requirements; returns (name, MB) pairs."""
    direct = direct_requirements()
    sizes = [(f.name, f.stat().st_size / 1e6) for f in folder.glob("*.whl")]
    (folder / "requirements.txt").write_text(
        "".join(f"{direct.get(name, name)}\n" for name in sorted(names)),
        "utf-8",
    )
    (folder / "README.md").write_text(
        README.format(
            provided=", ".join(read_names(PROVIDED)),
            count=len(sizes),
            size=sum(size for _, size in sizes),
        ),
        "utf-8",
    )
    return sorted(sizes, key=lambda pair: -pair[1])


def fits(name):
    """Returns whether a wheel's file name says that the machine can use it."""
    tags = name.removesuffix(".whl").split("-")[-3:]
    return tags[2] == "any" or tags[2].endswith("x86_64")


def main():
    entries, needs = read_lock(LOCK)
    provided = with_dependencies(read_names(PROVIDED), needs_by_metadata)
    wanted = with_dependencies(
        direct_requirements(), lambda name: needs[name], LEFT_OUT
    )
    wanted -= provided
    part = TARGET.with_name("wheelhouse.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    collect({name: entries[name] for name in sorted(wanted)}, part)
    sizes = describe(part, wanted)
    shutil.rmtree(TARGET, ignore_errors=True)
    part.rename(TARGET)
    for name, size in sizes[:10]:
        print(f"{size:6.1f} MB  {name}")
    total = sum(size for _, size in sizes)
    print(f"{total:6.1f} MB  in {len(sizes)} wheels: {TARGET}")
    foreign = [name for name, _ in sizes if not fits(name)]
    if foreign or total > LIMIT_MB:
        sys.exit(
            f"wheelhouse: not usable: {total:.1f} MB of at most {LIMIT_MB}, "
            f"wheels for other machines: {foreign}"
        )


if __name__ == "__main__":
    main()
