"""Tests of attnlib.profiles."""

import dataclasses
import subprocess
import sys

import pytest

from attnlib import profiles


def every():
    return [(n, p) for n in profiles.NOTEBOOKS for p in profiles.NAMES]


@pytest.mark.parametrize(("notebook", "profile"), every())
def test_every_profile_loads_and_is_frozen(notebook, profile):
    settings = profiles.load(notebook, profile, seed=3)
    assert (settings.notebook, settings.profile) == (notebook, profile)
    assert (settings.seed, settings.setting) == (3, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.seed = 1


def test_the_profile_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("ATTNLIB_PROFILE", raising=False)
    assert profiles.load("06").profile == "quick"
    monkeypatch.setenv("ATTNLIB_PROFILE", "smoke")
    assert profiles.load("06").profile == "smoke"
    assert profiles.load("06", "paper").profile == "paper"


def test_a_setting_changes_its_fields_only():
    plain = profiles.load("06", "paper")
    four = profiles.load("06", "paper", setting="g4")
    changed = {
        field.name
        for field in dataclasses.fields(plain)
        if getattr(plain, field.name) != getattr(four, field.name)
    }
    assert changed == {"setting", "num_glimpses", "glimpse_counts"}
    assert four.num_glimpses == 4


@pytest.mark.parametrize(
    ("task", "canvas", "clutter", "scales"),
    [("t60", 60, 0, 3), ("c60", 60, 4, 3), ("c100", 100, 8, 4)],
)
def test_canvases_are_the_paper_s(task, canvas, clutter, scales):
    for glimpses in (4, 6, 8):
        given = profiles.load("06", "paper", setting=f"{task}-g{glimpses}")
        assert (given.canvas, given.clutter) == (canvas, clutter)
        assert (given.glimpse_size, given.scales) == (12, scales)
        assert given.num_glimpses == glimpses
        assert given.glimpse_counts == (glimpses,)


def test_a_profile_may_be_a_job_beside_its_settings():
    names = [job.name for job in profiles.jobs("paper", "02")]
    assert names == ["02-s0", "02-en-fr-s0"]
    with pytest.raises(ValueError, match="one of en-fr. Received: 'fr-en'"):
        profiles.load("02", "paper", setting="fr-en")


def test_overrides_win_and_none_changes_nothing():
    base = profiles.load("06", "quick")
    same = profiles.load("06", "quick", num_glimpses=None)
    other = profiles.load("06", "quick", num_glimpses=3, learning_rate=1)
    assert same == base
    assert other.num_glimpses == 3
    assert other.learning_rate == 1.0
    listed = profiles.load("06", "quick", glimpse_counts=[1, 2])
    assert listed.glimpse_counts == (1, 2)


@pytest.mark.parametrize(
    ("notebook", "name"),
    [("06", "catch_epochs"), ("06", "canvas"), ("07", "pair_epochs")],
)
def test_zero_may_mean_none(notebook, name):
    assert getattr(profiles.load(notebook, **{name: 0}), name) == 0


@pytest.mark.parametrize("notebook", profiles.NOTEBOOKS)
def test_what_may_be_zero_is_a_field(notebook):
    given = profiles.load(notebook)
    assert set(given.may_be_zero) <= set(vars(given))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: profiles.load("6"), "notebook to be one of 00"),
        (lambda: profiles.load("06", "fast"), "profile to be one of smoke"),
        (lambda: profiles.load("06", "quik"), "Did you mean 'quick'"),
        (lambda: profiles.load("06", "paper", setting="g9"), "g2, g4, g6"),
        (lambda: profiles.load("06", "quick", setting="g2"), "no settings"),
        (lambda: profiles.load("06", seed=-1), "seed to be an integer"),
        (lambda: profiles.load("06", seed=True), "seed to be an integer"),
        (lambda: profiles.load("06", glimpses=2), "parameter of notebook 06"),
        (lambda: profiles.load("06", num_glimpses="2"), "type int"),
        (lambda: profiles.load("06", num_glimpses=True), "type int"),
        (lambda: profiles.load("06", weight_decay=-0.1), "weight_decay.*0"),
        (lambda: profiles.load("07", epochs=-1), "epochs.*at least 0"),
        (lambda: profiles.load("06", epochs=0), "epochs.*at least 1"),
        (lambda: profiles.load("09", epochs=0), "epochs.*at least 1"),
        (lambda: profiles.load("07", num_steps=0), "num_steps.*at least 1"),
        (lambda: profiles.load("06", num_glimpses=0), "glimpses.*at least 1"),
        (lambda: profiles.load("06", learning_rate=0), "rate.*above 0"),
        (lambda: profiles.load("07", step_counts=(0,)), "counts.*at least 1"),
        (lambda: profiles.load("06", glimpse_counts=["2"]), "counts.*integers"),
        (lambda: profiles.load("07", windows=()), "windows.*1 .with."),
        (lambda: profiles.load("07", windows=(2,)), "windows.*Received: .2"),
        (lambda: profiles.load("06", seed=2**32), "seed to be an integer"),
        (
            lambda: profiles.load("06", learning_rate=float("nan")),
            "learning_rate.*finite.*nan",
        ),
        (lambda: profiles.load("06", profile="quick", notebok="x"), "notebok"),
        (lambda: profiles.jobs("quick", only="06 99"), "notebook to be one"),
        (lambda: profiles.jobs("quick", seeds=0), "seeds to be an integer"),
        (lambda: profiles.jobs("all"), "profile to be one of"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_jobs_cover_notebooks_settings_and_seeds():
    names = [job.name for job in profiles.jobs("paper", only="06")]
    assert names[:5] == [
        "06-g2-s0",
        "06-g4-s0",
        "06-g6-s0",
        "06-g6-s1",
        "06-g6-s2",
    ]
    assert {"06-t60-g8-s0", "06-c60-g8-s0", "06-c100-g8-s0"} <= {*names}
    assert [j.name for j in profiles.jobs("quick", ["06", "00"], seeds=2)] == [
        "00-s0",
        "00-s1",
        "06-s0",
        "06-s1",
    ]


def test_notebooks_of_results_come_last_and_have_one_job():
    names = [job.name for job in profiles.jobs("quick", seeds=3)]
    assert names[-1] == "16-s0" and names.count("06-s2") == 1
    assert "16-s1" not in names


def test_every_job_loads_with_its_own_parameters():
    for profile in profiles.NAMES:
        for job in profiles.jobs(profile):
            settings = profiles.load(job.notebook, **job.parameters)
            assert settings.profile == profile
            assert settings.seed == job.seed
            assert job.timeout_s > 0
            assert job.notebook_file.startswith(f"{job.notebook}_")


def test_the_module_needs_the_standard_library_only():
    code = (
        "import runpy, sys; sys.modules['keras'] = None\n"
        f"m = runpy.run_path({profiles.__file__!r})\n"
        "print(len(m['jobs']('smoke')))\n"
        "sys.exit('attnlib' in sys.modules or 'numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(len(profiles.jobs("smoke")))
