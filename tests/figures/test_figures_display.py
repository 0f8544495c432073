"""Figures in notebooks: alternative text, animation, table, widgets."""

import base64
import html.parser

import numpy as np
import pytest

from attnlib import figures
from attnlib.figures import display

PATH = np.array([[0.0, 0.0], [-0.5, 0.5], [0.9, -0.9]])
IMAGE = np.linspace(0, 1, 28 * 28).reshape(28, 28)


class Reader(html.parser.HTMLParser):
    """Collects tags, and fails on tags that are closed out of order."""

    void = {"img", "input", "br"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def bars(value=1.0, title="A title"):
    if value < 0:
        raise ValueError(f"{value} is negative")
    return figures.bar_chart({"a": value}, "size", title)


def only_inline(text):
    """No file, script or style from anywhere else."""
    reader = Reader(text)
    for _, attrs in reader.tags:
        for key in ("src", "href"):
            if key in attrs:
                assert attrs[key].startswith("data:image/png;base64,")
    assert "http" not in text and "@import" not in text
    return reader


def test_picture_is_an_img_with_alternative_text():
    shot = figures.picture(bars(), alt='1 < 2 & "quoted"')
    (img,) = only_inline(shot._repr_html_()).all("img")
    assert img["alt"] == '1 < 2 & "quoted"'
    assert "max-width:700px" in img["style"]
    png = base64.b64decode(img["src"].split(",")[1])
    assert png == shot.png and png.startswith(b"\x89PNG")
    assert repr(shot) == '[figure] 1 < 2 & "quoted"'


def test_show_displays_html_and_no_figure_text(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    fig = bars()
    figures.show(fig, alt="One bar.")
    (shot,) = shown
    assert 'alt="One bar."' in shot._repr_html_()
    assert repr(shot) == "[figure] One bar."  # not <Figure size ...>
    assert fig.axes == []  # its arrays are freed


def test_alternative_text_is_required():
    empty = figures.new_figure()
    with pytest.raises(ValueError, match="needs alternative text"):
        figures.show(empty)
    with pytest.raises(ValueError, match="non-empty"):
        figures.set_alt(empty, "  ")
    with pytest.raises(ValueError, match="alternative text"):
        display.image_html(b"", "")
    figures.set_alt(empty, "two\n   words")
    assert figures.get_alt(empty) == "two words"


def test_animation_is_self_contained_and_repeatable():
    text = figures.glimpse_animation(
        IMAGE, PATH, 8, probabilities=np.full((3, 2), 0.5)
    )
    reader = only_inline(text)
    assert len(reader.all("img")) == 3
    assert all("glimpse" in img["alt"] for img in reader.all("img"))
    hidden = [
        attrs for attrs in reader.all("div") if "none" in attrs.get("style", "")
    ]
    assert len(hidden) == 2  # without scripts the first frame is a picture
    (slider,) = reader.all("input")
    assert slider["max"] == "3" and slider["aria-label"]
    assert text == figures.glimpse_animation(
        IMAGE, PATH, 8, probabilities=np.full((3, 2), 0.5)
    )


def test_any_figures_can_be_animated():
    frames = [figures.image_grid([IMAGE], title=f"t {i}") for i in range(3)]
    text = figures.animation(frames, "epoch", 250)
    assert text.count("data-frame") >= 3 and "1 of 3" in text
    assert 'aria-label="number of the epoch shown"' in text
    assert ", 250)" in text
    with pytest.raises(ValueError, match="nothing to animate"):
        figures.animation([])
    with pytest.raises(ValueError, match="alternative text"):
        figures.animation([figures.new_figure()])


def test_animation_checks_its_input():
    with pytest.raises(ValueError, match="one row of probabilities"):
        figures.glimpse_animation(IMAGE, PATH, 8, probabilities=np.ones((2, 2)))


ROWS = [
    {
        "id": "ram/mnist/6-glimpses/error", "notebook": "06",
        "paper": "Mnih 2014", "table": "1", "dataset": "MNIST",
        "setting": "6 <glimpses>", "metric": "error", "value": 1.29,
        "unit": "%", "verified": True, "verdict": "reproduced",
        "ours": {"mean": 1.35, "std": 0.04, "seeds": [0, 1, 2],
                 "data": "mnist", "backend": "jax", "device": "H200"},
        "note": "3 seeds",
    },
    {
        "id": "ram/mnist/policy/ordering", "notebook": "06",
        "metric": "ordering", "dataset": "MNIST", "setting": "learned first",
        "value": None, "unit": "", "verified": False, "verdict": "missed",
        "ours": {"mean": 0.5, "std": None, "seeds": [0, 1]},
    },
    {
        "id": "cost/x/y/macs", "notebook": "00", "metric": "macs",
        "value": 2.02, "unit": "M", "verified": False, "ours": None,
        "verdict": "not run",
    },
]  # fmt: skip


def test_claims_table_as_text():
    text = repr(figures.claims_table(ROWS))
    assert "1.35 ± 0.04 %" in text and "1.29 %" in text
    assert "holds in 50% of seeds" in text
    assert "2.02 M (unverified)" in text
    assert len(text.splitlines()) == 4


def test_a_trial_is_shown_as_one():
    row = ROWS[2] | {"trial": {"mean": 2.024, "std": None, "seeds": [0]}}
    text = repr(figures.claims_table([row]))
    assert "trial: 2.024 M" in text and "not run" in text


def test_claims_table_as_html():
    text = figures.claims_table(ROWS)._repr_html_()
    reader = only_inline(text)
    assert len(reader.all("tr")) == 4
    assert "6 &lt;glimpses&gt;" in text
    # A verdict is a word and a sign, never a colour alone.
    assert "✓ reproduced" in text and "✗ missed" in text
    assert all(attrs["scope"] for attrs in reader.all("th"))


def test_claims_table_of_one_notebook():
    assert len(figures.claims_table(ROWS, notebook="06")) == 2
    assert len(figures.claims_table([], notebook="06")) == 0


def test_claims_table_takes_what_compare_gives():
    from attnlib import claims

    table = figures.claims_table(claims.compare("smoke"), notebook="00")
    assert len(table) >= 16 and repr(table) and table._repr_html_()


@pytest.mark.parametrize("row", [{}, {"id": "a", "verdict": "maybe"}])
def test_claims_table_rejects_other_rows(row):
    with pytest.raises(ValueError, match="`id` and a `verdict`"):
        figures.claims_table([row])


def test_explorer_redraws_when_a_control_changes():
    explorer = figures.explorer(bars, value=(1, 5), title="First")
    before = explorer.image.value
    assert "data:image/png" in before and 'alt="First' in before
    explorer.controls["value"].value = 3
    third = explorer.image.value
    assert third != before and "Bars of size: a 3" in third
    explorer.controls["title"].value = "Second"
    assert 'alt="Second' in explorer.image.value
    explorer.update(value=3, title="First")
    assert explorer.image.value == third
    assert explorer.values() == {"value": 3, "title": "First"}
    assert repr(explorer).startswith("[widget: value, title]")


def test_explorer_draws_once_for_an_update_and_caches():
    drawn = []

    def draw(**values):
        drawn.append(values)
        return bars(**values)

    explorer = figures.explorer(draw, value=(1, 5), title="First")
    explorer.update(value=2, title="Second")
    assert len(drawn) == 2
    explorer.update(value=1, title="First")
    assert len(drawn) == 2  # from the cache
    uncached = figures.explorer(draw, cache=False, value=[1.0, 2.0])
    uncached.update(value=1.0)
    assert len(drawn) == 4


def test_explorer_tells_what_is_wrong_and_keeps_the_picture():
    explorer = figures.explorer(bars, value=[1.0, -1.0])
    before = explorer.image.value
    explorer.update(value=-1.0)
    assert "-1.0 is negative" in explorer.message.value
    assert "alert" in explorer.message.value
    assert explorer.image.value == before
    explorer.update(value=1.0)
    assert explorer.message.value == ""


def spell(text="ab"):
    return list(text)


def letter(word, text):
    return bars(title=f"letter {word} of {text}")


def test_a_clicked_word_is_drawn_and_the_words_follow_the_controls():
    explorer = figures.word_explorer(letter, spell, text="ab")
    row = explorer.controls["word"]
    assert row.options == (("a", 0), ("b", 1)) and row.value == 0
    row.value = 1
    assert "letter 1 of ab" in explorer.image.value
    explorer.controls["text"].value = "eel"
    assert [label for label, _ in row.options] == ["e", "e", "l"]
    assert row.value == 0 and "letter 0 of eel" in explorer.image.value
    # The same letter twice: which one was clicked is told by its place.
    row.value = 1
    assert "letter 1 of eel" in explorer.image.value
    explorer.update(text="abc", word=2)
    assert "letter 2 of abc" in explorer.image.value
    with pytest.raises(ValueError, match="word from 0 to 2. Received: 3"):
        explorer.update(word=3)


def test_a_control_that_leaves_no_words_is_told():
    explorer = figures.word_explorer(letter, spell, text="ab")
    before = explorer.image.value
    explorer.controls["text"].value = ""
    assert "no word to click" in explorer.message.value
    assert explorer.image.value == before
    with pytest.raises(ValueError, match="no word"):
        figures.word_explorer(letter, spell, text="")
    with pytest.raises(ValueError, match="other names than `word`"):
        figures.word_explorer(letter, spell, text="ab", word=(0, 3))


def test_first_drawing_raises():
    with pytest.raises(ValueError, match="negative"):
        figures.explorer(bars, value=[-1.0])


def test_controls_of_every_kind():
    import ipywidgets

    def draw(**values):
        return bars(title=str(values))

    explorer = figures.explorer(
        draw, whole=(1, 9), real=(0.0, 1.0, 0.1), choice=["a", "b"],
        menu={"one": 1}, text="42", flag=True, own=ipywidgets.IntText(3),
    )  # fmt: skip
    kinds = {n: type(w).__name__ for n, w in explorer.controls.items()}
    assert kinds == {
        "whole": "IntSlider", "real": "FloatSlider",
        "choice": "SelectionSlider", "menu": "Dropdown", "text": "Text",
        "flag": "Checkbox", "own": "IntText",
    }  # fmt: skip
    for widget in explorer.controls.values():
        assert widget.description
        assert not getattr(widget, "continuous_update", False)


@pytest.mark.parametrize(
    "controls, message",
    [({}, "at least one"), ({"value": 3.5}, "control `value`")],
)
def test_explorer_rejects_controls(controls, message):
    with pytest.raises(ValueError, match=message):
        figures.explorer(bars, **controls)


def test_explorer_rejects_unknown_names():
    explorer = figures.explorer(bars, value=(1, 5))
    with pytest.raises(ValueError, match="no such control: size"):
        explorer.update(size=3)


def test_presets_show_every_setting():
    shown = figures.presets(bars, [{"value": 1.0}, {"value": 2.0}])
    reader = only_inline(shown._repr_html_())
    assert len(reader.all("img")) == len(reader.all("figure")) == 2
    assert "value = 2.0: [figure]" in repr(shown)
    named = figures.presets(bars, {"small & neat": {"value": 1.0}})
    assert "small &amp; neat" in named._repr_html_()
    with pytest.raises(ValueError, match="empty"):
        figures.presets(bars, [])


def test_a_game_is_animated_frame_by_frame():
    screens, gaze = np.zeros((4, 8, 8)), np.zeros((3, 2))
    text = figures.game_animation(screens, gaze, 4)
    assert text.count("data-frame") == 5 and "frame 4 of 4" in text
    assert "http" not in text
    with pytest.raises(ValueError, match="gaze.*5 places.*4 screens"):
        figures.game_animation(screens, np.zeros((5, 2)), 4)
    with pytest.raises(ValueError, match="at least 1.*size=0"):
        figures.game_strip(screens, gaze, 0)
