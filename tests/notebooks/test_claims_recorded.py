"""Which claims of captions a job records: no two settings share one.

The notebooks' own cells run on made-up scores; nothing is trained.
"""

import json
import types
from pathlib import Path
from unittest import mock

import pytest

from attnlib import profiles
from attnlib.claims import registry
from attnlib.models import captions

ROOT = Path(__file__).parents[2]
CELLS = {
    "03": ("recording", "score-record"),
    "04": ("recording", "score-record", "ablation-bleu"),
    "05": ("recording", "score-record"),
    "15": ("recording", "score-record", "score-flickr8k"),
}
PROFILES = [(n, p) for n in CELLS for p in ("quick", "paper")]


def recorded(notebook, profile, setting) -> dict:
    """Return what the cells of a job record: id -> note."""
    settings = profiles.load(notebook, profile, setting=setting)
    path = ROOT / "notebooks" / f"{profiles.NOTEBOOKS[notebook]}.ipynb"
    cells = {
        cell["id"]: "".join(cell["source"])
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    }
    found = {}

    def record(id, value, note=""):
        registry.find(id)
        found[id] = note

    score = {"bleu": [4.0, 3.0, 2.0, 1.0], "meteor": 5.0}
    model = mock.Mock(encoder=None, **{"count_params.return_value": 1_500_000})
    task = types.SimpleNamespace(
        knows_boxes=settings.dataset == "digit_scenes",
        record="made up",
        description="made up",
    )
    names = {
        "attnlib": mock.Mock(),
        "bleu": {name: 1.0 for name in settings.models},
        "captions": captions,
        "claims": mock.Mock(record=record),
        "figures": mock.Mock(),
        "grades": {name: score for name in settings.models},
        "models": {name: model for name in settings.models},
        "profiles": profiles,
        "seed": 0,
        "setting": setting,
        "settings": settings,
        "task": task,
    }
    for id in CELLS[notebook]:
        exec(cells[id], names)
    return found


@pytest.mark.parametrize(("notebook", "profile"), PROFILES)
def test_every_job_decides_claims_of_its_own(notebook, profile):
    owners = {}
    for setting in profiles.settings_of(notebook, profile):
        ids = recorded(notebook, profile, setting)
        assert ids, f"a job that records nothing fails: {setting}"
        for id in ids:
            assert owners.setdefault(id, setting) == setting, id


@pytest.mark.parametrize("notebook", CELLS)
def test_an_encoder_has_ids_of_its_own_and_is_named(notebook):
    for setting, about in ((None, "flickr8k"), ("vgg19", "flickr8k-vgg19")):
        encoder = captions.ENCODERS["vgg19" if setting else "joint"]
        for id, note in recorded(notebook, "paper", setting).items():
            assert id.split("/")[1] == about
            assert encoder in note


def test_no_job_records_meteor():
    # NLTK's is another measure than the papers'.
    for notebook in ("03", "04", "05"):
        for id, note in recorded(notebook, "paper", None).items():
            assert "meteor" not in id and "by NLTK 5.0" in note
