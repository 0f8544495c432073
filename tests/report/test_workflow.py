"""The workflow as `make report` calls it, with notebooks of no weight."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from report_samples import runs_of, write_fake

pytestmark = pytest.mark.skipif(
    os.name == "nt", reason="kills process groups as POSIX has them"
)

# Waits for a file, so that tests decide when a notebook goes on.
WAIT = """
import os, time
while not os.path.exists({gate!r}):
    time.sleep(0.05)
"""


def command(*config):
    return [
        *(sys.executable, "-m", "snakemake", "-s", "workflow/Snakefile"),
        *("--workflow-profile", "workflow/profiles/local", "--cores", "2"),
        *("--config", "profile=quick", *config),
    ]


@pytest.fixture
def environment(monkeypatch, tmp_path):
    monkeypatch.delenv("ATTNLIB_REPORTS", raising=False)
    # Snakemake keeps a cache of sources there.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


def run(root, *config):
    return subprocess.run(
        command(*config), cwd=root, capture_output=True, text=True, timeout=300
    )


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def results(root):
    folder = root / "reports" / "quick" / "results"
    return sorted(path.name for path in folder.glob("*.json"))


def test_one_failure_stops_no_other_and_what_is_done_stays(
    checkout, environment
):
    write_fake(checkout, "00", "raise ValueError('bad')")
    write_fake(checkout, "06", "pass")
    first = run(checkout, "only='00 06'", "seeds=", "force=0")
    assert first.returncode != 0
    assert "00-s0: FAILED (cell failed): ValueError: bad" in first.stderr
    assert results(checkout) == ["06-s0.json"]

    write_fake(checkout, "00", "pass")
    second = run(checkout, "only=00 06")
    assert second.returncode == 0, second.stderr
    assert (runs_of(checkout, "00"), runs_of(checkout, "06")) == (2, 1)

    third = run(checkout, "only=00 06")
    assert third.returncode == 0
    assert "Nothing to be done" in third.stderr
    # A fresh clone has no memory of Snakemake's and other time stamps.
    shutil.rmtree(checkout / ".snakemake")
    shutil.rmtree(checkout / "reports" / "quick" / ".state")
    os.utime(checkout / "notebooks" / "06_recurrent_glimpses.ipynb")
    assert "Nothing to be done" in run(checkout, "only=00 06").stderr

    forced = run(checkout, "only=06", "force=1")
    assert forced.returncode == 0, forced.stderr
    assert (runs_of(checkout, "00"), runs_of(checkout, "06")) == (2, 2)


def test_the_scoreboard_runs_after_all_others_and_with_every_new_result(
    checkout, environment
):
    gate = checkout / "gate"
    write_fake(checkout, "06", WAIT.format(gate=str(gate)))
    seen = checkout / "seen"
    write_fake(
        checkout,
        "16",
        "from pathlib import Path\n"
        f"folder = Path({str(checkout)!r}, 'reports', 'quick', 'results')\n"
        "names = ' '.join(p.name for p in sorted(folder.glob('*.json')))\n"
        f"Path({str(seen)!r}).write_text(names)",
    )
    started = subprocess.Popen(
        command("only='06 16'"),
        cwd=checkout,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: runs_of(checkout, "06") == 1)
        assert runs_of(checkout, "16") == 0
    finally:
        gate.touch()
        assert started.wait(timeout=240) == 0
    assert seen.read_text() == "06-s0.json"
    assert "Nothing to be done" in run(checkout, "only='06 16'").stderr

    write_fake(checkout, "00", "pass")
    assert run(checkout, "only='00 06 16'").returncode == 0
    assert runs_of(checkout, "06") == 1 and runs_of(checkout, "16") == 2
    assert "00-s0.json" in seen.read_text()


def test_an_unknown_name_is_one_clear_error(checkout, environment):
    for config in (("profile=quik",), ("only=99",), ("seeds=none",)):
        ran = run(checkout, *config)
        assert ran.returncode != 0
        assert "expected" in ran.stderr and "Traceback" not in ran.stderr


@pytest.mark.parametrize("whole_group", [False, True])
def test_killed_in_the_middle_only_unfinished_jobs_run_again(
    checkout, environment, whole_group
):
    gate = checkout / "gate"
    write_fake(checkout, "00", "pass")
    write_fake(checkout, "06", WAIT.format(gate=str(gate)))
    killed = subprocess.Popen(
        command("only=00 06"),
        cwd=checkout,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    again = None
    try:
        wait_for(lambda: results(checkout) == ["00-s0.json"])
        wait_for(lambda: runs_of(checkout, "06") == 1)
        if whole_group:  # as when a terminal or a machine goes down
            os.killpg(killed.pid, signal.SIGKILL)
        else:  # its children live on as orphans
            killed.kill()
        killed.wait()
        again = subprocess.Popen(
            command("only=00 06"),
            cwd=checkout,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        if whole_group:
            wait_for(lambda: runs_of(checkout, "06") == 2)
        else:
            # The new run meets the orphan, which is still at notebook 06.
            for line in again.stdout:
                if "06-s0: another run is at this job" in line:
                    break
        gate.touch()
        output, _ = again.communicate(timeout=240)
        assert again.returncode == 0, output
        # An orphan's result is used; killed work is done once more.
        assert runs_of(checkout, "06") == (2 if whole_group else 1)
        assert runs_of(checkout, "00") == 1
        assert results(checkout) == ["00-s0.json", "06-s0.json"]
        folder = checkout / "reports" / "quick"
        left = [p for p in folder.glob("[rn]*/.*") if p.is_file()]
        assert left == []
    finally:
        gate.touch()
        for process in filter(None, (killed, again)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
