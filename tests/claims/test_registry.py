"""The schema of claims.toml, and what must be in attnlib's own."""

import doctest
import re
from collections import Counter

import pytest

from attnlib.claims import registry

CLAIMS = registry.load_claims()
BY_ID = {claim.id: claim for claim in CLAIMS}
NUMBERS = [claim for claim in CLAIMS if not claim.is_ordering]

TABLE = """
[[table]]
notebook = "06"
paper = "Mnih et al. 2014 (NIPS)"
table = "Table 1a"
dataset = "MNIST"
unit = "%"
better = "lower"
verified = true
profile = "paper"
metric = "test error"
setting = "6 glimpses"
band = 0.4
claims = [
  { id = "ram/mnist/6-glimpses/test-error", value = 1.12 },
  { id = "ram/mnist/4-glimpses/test-error", value = 1.54 },
]
"""
ROW = '{ id = "ram/mnist/6-glimpses/test-error", value = 1.12 }'


def _load(tmp_path, text):
    path = tmp_path / "claims.toml"
    path.write_text(text, encoding="utf-8")
    return registry.load_claims(path)


def test_a_table_lends_its_fields(tmp_path):
    first, second = _load(tmp_path, TABLE)
    assert first.system == "ram"
    assert (first.value, first.band, first.unit) == (1.12, 0.4, "%")
    assert second.table == "Table 1a"
    assert first.kind == "number" and not first.is_ordering


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("value = 1.12", "vale = 1.12", "'vale'.*Did you mean 'value'"),
        ("value = 1.12", "value = '1.12'", "value to be a finite number"),
        ("value = 1.12", "value = true", "value to be a finite number"),
        ("value = 1.12", "value = nan", "value to be a finite number"),
        ("value = 1.12", "band = 1", "without a value it is an ordering"),
        ("value = 1.12", "value = 1, band = -1", "band.*at least 0"),
        ("value = 1.12", "value = 1, of = ['x']", "no ordering"),
        ("value = 1.12", "value = 1, of = 3", "of to be a list of ids"),
        ("value = 1.12", "value = 1, system = 'x'", "'system'"),
        ("value = 1.12", "value = 1, verified = 1", "true or false"),
        ("value = 1.12", "value = 1, better = 'more'", "lower, higher"),
        ("value = 1.12", "value = 1, profile = 'full'", "smoke, quick, paper"),
        ("value = 1.12", "value = 1, notebook = '6'", "two digits"),
        ("value = 1.12", "value = 1, note = 5", "note to be a string"),
        ("value = 1.12", "value = 1, origin = 'guess'", "origin to be one of"),
        ("value = 1.12", "value = 1, origin = 'aim'", "paper must start with"),
        ("value = 1.12", "value = 1, result = 'a/b/c/d'", "is no claim"),
        ("6-glimpses/", "6_glimpses/", "lower-case letters"),
        ("ram/mnist/6-glimpses", "RAM/mnist/6-glimpses", "lower-case"),
        ("ram/mnist/6-glimpses", "ram/6-glimpses", "lower-case letters"),
        ("6-glimpses/", "6--glimpses/", "single hyphens"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, old, new, message):
    text = TABLE.replace(ROW, ROW.replace(old, new))
    assert text != TABLE
    with pytest.raises(ValueError, match=message) as error:
        _load(tmp_path, text)
    entry = re.search('id = "([^"]*)"', ROW.replace(old, new)).group(1)
    assert str(error.value).startswith(f"claims.toml: {entry}: ")


def test_a_missing_field_is_named(tmp_path):
    text = TABLE.replace('unit = "%"\n', "")
    with pytest.raises(ValueError, match="6-glimpses.*'unit' is missing"):
        _load(tmp_path, text)


def test_an_id_is_unique(tmp_path):
    text = TABLE.replace("4-glimpses", "6-glimpses")
    with pytest.raises(ValueError, match="6-glimpses.*used twice"):
        _load(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"expected nothing but \[\[table\]\]"),
        ("[[claim]]\nid = 'x'", "Received: claim"),
        ("[[table]]\npaper = 'P'", r"table 1 \(P\): expected a list"),
        ("[[table]]\npaper = 'P'\nclaims = [{}]", "entry 1.*with an id"),
        ("[[table]", "not valid TOML"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        _load(tmp_path, text)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('of = ["ram/mnist/6-glimpses/test-error"]', "at least two"),
        (
            'of = ["ram/mnist/6-glimpses/test-error", "ram/o/o/ordering"]',
            "no records of its own|at least two",
        ),
        (
            'of = ["ram/mnist/6-glimpses/test-error", '
            '"ram/mnist/4-glimpses/test-error"]\nprofile = "quick"',
            "another profile",
        ),
        ('result = "ram/mnist/6-glimpses/test-error"', "another kind"),
    ],
)
def test_links_must_fit(tmp_path, entry, message):
    text = TABLE + (
        '[[table]]\nnotebook = "06"\npaper = "P"\ntable = "T"\ndataset = "D"\n'
        'setting = "S"\nmetric = "ordering"\nunit = ""\nbetter = "higher"\n'
        'verified = true\nprofile = "paper"\n'
        f'[[table.claims]]\nid = "ram/o/o/ordering"\n{entry}\n'
    )
    if "profile" in entry:
        text = text.replace(
            'profile = "paper"\n[[table.claims]]', "[[table.claims]]"
        )
    with pytest.raises(ValueError, match=f"ram/o/o/ordering: .*({message})"):
        _load(tmp_path, text)


def test_find_suggests_the_nearest_id():
    with pytest.raises(ValueError, match="Did you mean 'ram/mnist-28x28/6-"):
        registry.find("ram/mnist-28x28/6-glimpse/test-error")
    for nothing in (None, 3, "", "zzz"):
        with pytest.raises(ValueError, match="expected the id of a claim"):
            registry.find(nothing)


def test_examples_in_docstrings():
    assert doctest.testmod(registry).failed == 0


# attnlib's own file


def test_at_least_150_numbers_are_papers():
    papers = [c for c in NUMBERS if c.origin == "paper"]
    assert len(papers) >= 150
    assert sum(c.verified for c in papers) >= 60


def test_every_system_has_claims():
    notebooks = {claim.notebook for claim in CLAIMS}
    assert notebooks == {f"{number:02d}" for number in range(16)}
    assert {claim.system for claim in CLAIMS} == {
        "action",
        "bahdanau",
        "cost",
        "dram",
        "draw",
        "encoder-decoder",
        "handwriting",
        "ram",
        "saliency",
        "scale",
        "semantic-attention",
        "show-and-tell",
        "show-attend-and-tell",
        "stn",
        "vqa",
    }


def test_saliency_has_orderings_only():
    assert all(c.is_ordering for c in CLAIMS if c.system == "saliency")


def test_quick_claims_are_no_more_than_the_notebooks_decide():
    count = Counter(c.notebook for c in CLAIMS if c.profile == "quick")
    assert count["00"] == 16 and count["01"] == 7 and count["02"] == 6
    assert count["06"] == 6
    assert not any(c.profile == "smoke" for c in CLAIMS)


def test_an_aim_is_met_or_missed():
    for claim in NUMBERS:
        if claim.origin == "aim" and not claim.two_sided:
            assert claim.band == 0, claim.id


def test_published_numbers_are_the_papers():
    expected = {
        "bahdanau/wmt14-en-fr-all/rnnsearch-50/bleu": 26.75,
        "bahdanau/wmt14-en-fr-no-unk/rnnsearch-50-longer/bleu": 36.15,
        "show-attend-and-tell/coco/hard/bleu-4": 25.0,
        "show-attend-and-tell/coco/soft/meteor": 23.9,
        "ram/mnist-28x28/6-glimpses/test-error": 1.12,
        "ram/mnist-28x28/6-glimpses-arxiv/test-error": 1.29,
        "ram/cluttered-60x60/8-random-glimpses/test-error": 14.4,
        "dram/svhn-54x54/dram-fb-mc/sequence-error": 3.9,
        "draw/binarised-mnist/draw/nll": 80.97,
        "handwriting/iam-ondb/synthesis-noise/log-loss": -1128.2,
        "stn/mnist-rts/st-cnn-aff/test-error": 0.5,
        "stn/cub-200/4xst-cnn-448/accuracy": 84.1,
        "vqa/vqa-test-dev/san-2-cnn/accuracy": 58.7,
        "action/hmdb-51/attention-lambda-0/accuracy": 41.31,
        "scale/person-part/3-scales-att-extra/mean-iou": 56.39,
        "semantic-attention/coco/att-fcn/bleu-4": 30.4,
    }
    assert {id: BY_ID[id].value for id in expected} == expected


def test_both_tables_of_ram_share_their_records():
    twins = [c for c in CLAIMS if c.paper == "Mnih et al. 2014 (arXiv)"]
    assert len(twins) == 24
    for claim in twins:
        if claim.id.endswith("/1-random-glimpse/test-error"):
            continue  # a row of that table only
        assert claim.result == claim.id.replace("-arxiv", "")
        assert BY_ID[claim.result].paper == "Mnih et al. 2014 (NIPS)"


def test_the_papers_own_numbers_are_in_the_stated_order():
    # An ordering that the published numbers contradict would be a typing
    # error, here or there.
    for claim in CLAIMS:
        values = [BY_ID[id].value for id in claim.of]
        for id, a, b in zip(claim.of, values, values[1:], strict=False):
            if BY_ID[id].origin == "aim":
                continue
            better = b < a if BY_ID[id].better == "lower" else b > a
            assert better, claim.id
