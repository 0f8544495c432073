"""Figures: pure functions from arrays to matplotlib figures, and widgets.

Every function returns a `matplotlib.figure.Figure` that carries alternative
text; `show` displays it in a notebook. Nothing here uses pyplot or knows a
model, so figures can be drawn in widgets, tests and reports alike.
"""

from attnlib.figures.animation import animation, glimpse_animation
from attnlib.figures.attention import attention_heatmap, attention_heatmaps
from attnlib.figures.attributes import attribute_bars, word_bars
from attnlib.figures.captions import (
    captioned_images,
    ranked_captions,
    words_over_regions,
)
from attnlib.figures.crops import crop_view
from attnlib.figures.curves import (
    accuracy_by_length,
    bar_chart,
    cost_curves,
    grouped_bars,
    learning_curve,
    line_plot,
    tradeoff,
)
from attnlib.figures.display import get_alt, picture, set_alt, show, to_png
from attnlib.figures.drawing import (
    drawing_animation,
    drawing_step,
    drawing_strip,
    filterbank_view,
    step_bars,
)
from attnlib.figures.game import game_animation, game_strip
from attnlib.figures.glimpses import (
    glimpse_path,
    glimpse_paths,
    glimpse_step,
    glimpse_strip,
    scatter_locations,
    sensor_view,
)
from attnlib.figures.handwriting import (
    density_map,
    pen_strokes,
    strokes_svg,
    watched_writing,
    window_map,
    writing_animation,
    writing_step,
    writing_svg,
)
from attnlib.figures.images import image_grid
from attnlib.figures.letters import letter_rows, place_map
from attnlib.figures.questions import (
    accuracy_by_kind,
    answered_question,
    answers_to_choose,
    boxes_to_choose,
    hop_maps,
    question_drawer,
    word_maps,
)
from attnlib.figures.saliency import (
    precision_recall_curves,
    refinement_step,
    refinements,
)
from attnlib.figures.scoreboard import (
    against_papers,
    result_times,
    verdict_bars,
)
from attnlib.figures.segmentation import (
    scale_view,
    scale_weights,
    segmentations,
    size_scatter,
)
from attnlib.figures.style import COLORS, new_figure, styled, use_style
from attnlib.figures.tables import claims_table, reasons_table
from attnlib.figures.transformers import (
    located_boxes,
    transformer_triplets,
    transformer_view,
)
from attnlib.figures.videos import (
    attention_animation,
    attention_moment,
    attention_strip,
)
from attnlib.figures.windows import (
    confusion_matrices,
    places_around_parts,
    window_view,
    windows_on_images,
)


def __getattr__(name):
    # Widgets need ipywidgets, which a headless report does not.
    if name in ("explorer", "presets", "question_explorer", "word_explorer"):
        from attnlib.figures import widgets

        return getattr(widgets, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "COLORS",
    "accuracy_by_kind",
    "accuracy_by_length",
    "against_papers",
    "animation",
    "answered_question",
    "answers_to_choose",
    "attention_animation",
    "attention_heatmap",
    "attention_heatmaps",
    "attention_moment",
    "attention_strip",
    "attribute_bars",
    "bar_chart",
    "boxes_to_choose",
    "captioned_images",
    "claims_table",
    "confusion_matrices",
    "cost_curves",
    "crop_view",
    "density_map",
    "drawing_animation",
    "drawing_step",
    "drawing_strip",
    "explorer",
    "filterbank_view",
    "game_animation",
    "game_strip",
    "get_alt",
    "glimpse_animation",
    "glimpse_path",
    "glimpse_paths",
    "glimpse_step",
    "glimpse_strip",
    "grouped_bars",
    "hop_maps",
    "image_grid",
    "learning_curve",
    "letter_rows",
    "line_plot",
    "located_boxes",
    "new_figure",
    "pen_strokes",
    "picture",
    "place_map",
    "places_around_parts",
    "precision_recall_curves",
    "presets",
    "question_drawer",
    "question_explorer",
    "ranked_captions",
    "reasons_table",
    "result_times",
    "refinement_step",
    "refinements",
    "scale_view",
    "scale_weights",
    "scatter_locations",
    "segmentations",
    "sensor_view",
    "set_alt",
    "show",
    "size_scatter",
    "step_bars",
    "strokes_svg",
    "styled",
    "to_png",
    "tradeoff",
    "transformer_triplets",
    "transformer_view",
    "use_style",
    "verdict_bars",
    "watched_writing",
    "window_map",
    "window_view",
    "windows_on_images",
    "word_bars",
    "word_explorer",
    "word_maps",
    "words_over_regions",
    "writing_animation",
    "writing_step",
    "writing_svg",
]
