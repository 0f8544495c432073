"""Widgets on top of the figure functions, and their static twins.

`explorer` joins controls to a function that returns a figure. The picture is
an `<img>` with alternative text inside a core `HTML` widget: no output
capturing and no widget package of its own, so it works in JupyterLab, VS Code
and Colab, and in a kernel without any front end (that is how it is tested).
"""

import collections
import html
import math

import ipywidgets
from matplotlib.figure import Figure

from attnlib.figures.display import image_html, picture

_CACHE_SIZE = 128


def _control(name, spec):
    """A core widget from an abbreviation, or the widget itself."""
    label = name.replace("_", " ")
    common = {
        "description": label,
        "tooltip": f"choose: {label}",
        "style": {"description_width": "initial"},
        "layout": ipywidgets.Layout(width="auto", max_width="700px"),
    }
    # Draw when the slider is let go, not at every pixel of its way.
    lazy = {"continuous_update": False}
    if isinstance(spec, ipywidgets.ValueWidget):
        if not spec.description:
            spec.description = label
        spec.style.description_width = "initial"
        if hasattr(spec, "continuous_update"):
            spec.continuous_update = False
        return spec
    if isinstance(spec, bool):
        return ipywidgets.Checkbox(value=spec, **common)
    if isinstance(spec, str):
        return ipywidgets.Text(value=spec, **lazy, **common)
    if isinstance(spec, tuple) and len(spec) in (2, 3):
        whole = all(isinstance(number, int) for number in spec)
        slider = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        step = {"step": spec[2]} if len(spec) == 3 else {}
        return slider(
            value=spec[0], min=spec[0], max=spec[1], **step, **lazy, **common
        )
    if isinstance(spec, list) and spec:
        return ipywidgets.SelectionSlider(options=spec, **lazy, **common)
    if isinstance(spec, dict) and spec:
        return ipywidgets.Dropdown(options=spec, **common)
    raise ValueError(
        f"control `{name}`: expected a widget, a bool, a string, (low, high[, "
        f"step]), a list or a dict. Received: {spec!r}"
    )


class Explorer(ipywidgets.VBox):
    """Controls above a picture that follows them; made by `explorer`.

    Attributes:
        controls: {name: widget}.
        image: an `HTML` widget that holds the picture; its `value` changes
            with the controls.
        message: an `HTML` widget that says what is wrong with an input.
    """

    def __init__(self, draw, controls, cache=True):
        if not controls:
            raise ValueError("an explorer needs at least one control")
        self._draw = draw
        self._rendered = collections.OrderedDict() if cache else None
        self._held = False
        self.controls = {
            name: _control(name, spec) for name, spec in controls.items()
        }
        self.image = ipywidgets.HTML()
        self.message = ipywidgets.HTML()
        self.image.value = self.render(**self.values())
        for widget in self.controls.values():
            widget.observe(self._changed, names="value")
        super().__init__([*self.controls.values(), self.message, self.image])

    def __repr__(self):
        # What pages without a kernel show in the widget's place.
        names = ", ".join(item.description for item in self.controls.values())
        return f"[widget: {names}] moves where a kernel runs; see the pictures"

    def values(self):
        """The controls' present values, by name."""
        return {name: item.value for name, item in self.controls.items()}

    def render(self, **values):
        """Draw for these values, or take the picture from the cache.

        Returns:
            An `<img>` with alternative text, or the HTML of a table, as a
            string.
        """
        key = tuple(sorted(values.items()))
        if self._rendered is not None and key in self._rendered:
            self._rendered.move_to_end(key)
            return self._rendered[key]
        drawn = self._draw(**values)
        if isinstance(drawn, Figure):
            shot = picture(drawn)
            rendered = image_html(shot.png, shot.alt, shot.width)
        else:
            rendered = drawn._repr_html_()
        if self._rendered is not None:
            self._rendered[key] = rendered
            if len(self._rendered) > _CACHE_SIZE:
                self._rendered.popitem(last=False)
        return rendered

    def update(self, **values):
        """Set several controls at once and draw once.

        Raises:
            ValueError: a control that does not exist.
        """
        unknown = set(values) - set(self.controls)
        if unknown:
            raise ValueError(
                f"no such control: {', '.join(sorted(unknown))}. The controls "
                f"are {', '.join(self.controls)}"
            )
        self._held = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._held = False
        self._changed()

    def _changed(self, change=None):
        if self._held:
            return
        try:
            self.image.value = self.render(**self.values())
        # A callback's exception would vanish in a log: tell the reader.
        except Exception as error:
            self._tell(error)
        else:
            self.message.value = ""

    def _tell(self, error):
        name = "" if isinstance(error, ValueError) else type(error).__name__
        text = ": ".join(part for part in (name, str(error)) if part)
        self.message.value = (
            "<p role='alert' style='background:#a34400;color:#fff;"
            f"padding:.3em .6em;max-width:700px'>{html.escape(text)}</p>"
        )


def explorer(draw, cache=True, **controls):
    """Controls that redraw a figure when they are let go.

    Args:
        draw: a function of the controls' values that returns a matplotlib
            `Figure` with alternative text, or what displays itself as HTML,
            such as a `ClaimsTable` or a `Writing`. A `ValueError` that it
            raises is shown to the reader; the last good picture stays.
        cache: keep rendered pictures; False where drawing is random.
        **controls: one per argument of `draw`: a core ipywidgets widget, or
            (low, high[, step]) for a slider, a list for a slider over
            choices, a dict {label: value} for a menu, a string for a text
            field, a bool for a check box.

    Returns:
        An `Explorer`, which is a widget: display it.

    Raises:
        ValueError: no control or one of an unknown kind; and what `draw`
            raises for the first values.
    """
    return Explorer(draw, controls, cache)


def question_explorer(draw, scenes, question):
    """A field for a question and a slider over scenes above what is answered.

    Args:
        draw: From `figures.question_drawer`.
        scenes: The number of scenes.
        question: The first question.

    Returns:
        An `Explorer`, which is a widget: display it. What is wrong with a
        question is shown in place of a new picture.

    Raises:
        ValueError: There is no scene; and what `draw` raises for the first
            question.
    """
    if scenes < 1:
        raise ValueError(f"expected at least one scene. Received: {scenes}")
    return explorer(draw, question=question, scene=(0, scenes - 1))


class WordExplorer(Explorer):
    """An `Explorer` with words to click, which the other controls decide.

    Made by `word_explorer`. The control `word` is the row of words; its value
    is the place of the word that was clicked.
    """

    def __init__(self, draw, words, controls, cache=True):
        if "word" in controls:
            raise ValueError(
                "expected controls of other names than `word`, which is the "
                "row of words. Received: a control `word`"
            )
        self._words = words
        made = {name: _control(name, spec) for name, spec in controls.items()}
        first = words(**{name: item.value for name, item in made.items()})
        row = ipywidgets.ToggleButtons(
            options=_places(first),
            description="click a word",
            style={"button_width": "auto"},
            layout=ipywidgets.Layout(max_width="700px"),
        )
        super().__init__(draw, {**made, "word": row}, cache)

    def update(self, **values):
        """Set controls, the word last: the others decide which there are.

        Raises:
            ValueError: A control or a word that does not exist.
        """
        word = values.pop("word", None)
        super().update(**values)
        if word is not None:
            self._check(word)
            super().update(word=word)

    def _check(self, word):
        count = len(self.controls["word"].options)
        if word not in range(count):
            raise ValueError(
                f"expected a word from 0 to {count - 1}. Received: {word!r}"
            )

    def _changed(self, change=None):
        row = self.controls["word"]
        if not (self._held or (change and change["owner"] is row)):
            values = self.values()
            del values["word"]
            try:
                options = _places(self._words(**values))
            # As in `Explorer._changed`.
            except Exception as error:
                self._tell(error)
                return
            if options != row.options:
                self._held = True
                try:
                    # Chooses the first of them.
                    row.options = options
                finally:
                    self._held = False
        super()._changed()


def _places(words):
    """Return words as options whose values are their places."""
    if not words:
        raise ValueError("there is no word to click")
    return tuple((word, place) for place, word in enumerate(words))


def word_explorer(draw, words, cache=True, **controls):
    """Words to click above a picture that shows something of each.

    Args:
        draw: As for `explorer`; it also gets `word`, the place of the clicked
            word from 0.
        words: A function of the other controls' values that returns the words,
            a list of str.
        cache: As for `explorer`.
        **controls: As for `explorer`, without `word`.

    Returns:
        A `WordExplorer`, which is a widget: display it.

    Raises:
        ValueError: As of `explorer`, there are no words, or a control is
            called `word`.
    """
    return WordExplorer(draw, words, controls, cache)


class Presets:
    """Several pictures with captions; displays itself as HTML."""

    def __init__(self, pictures, captions, columns):
        self.pictures = pictures
        self.captions = captions
        self.columns = columns

    def _repr_html_(self):
        # At least 300 pixels a picture: on a phone they go below each other.
        width = max(300, math.floor(1000 / self.columns) - 20)
        items = "".join(
            f"<figure style='margin:0;flex:1 1 {width}px;max-width:700px'>"
            f"<figcaption>{html.escape(caption)}</figcaption>"
            f"{shot._repr_html_()}</figure>"
            for shot, caption in zip(self.pictures, self.captions, strict=True)
        )
        return (
            "<div style='display:flex;flex-wrap:wrap;gap:1em'>"
            + items
            + "</div>"
        )

    def __repr__(self):
        return "\n".join(
            f"{caption}: {shot!r}"
            for shot, caption in zip(self.pictures, self.captions, strict=True)
        )


def presets(draw, settings, columns=2, dpi=100):
    """The static twin of an `explorer`: the same figure for a few settings.

    Args:
        draw: the function given to `explorer`.
        settings: a list of keyword arguments for it, or {caption: keyword
            arguments}.
        columns: pictures side by side on a wide screen.
        dpi: pixels per inch.

    Returns:
        A `Presets` object; as the last line of a cell it displays itself.
    """
    if not settings:
        raise ValueError("`settings` is empty: nothing to draw")
    if not isinstance(settings, dict):
        settings = {
            ", ".join(
                f"{name.replace('_', ' ')} = {value}"
                for name, value in kwargs.items()
            ): kwargs
            for kwargs in settings
        }
    shots = [picture(draw(**kwargs), dpi=dpi) for kwargs in settings.values()]
    return Presets(shots, list(settings), columns)
