"""Figures of refined saliency maps: what is drawn and told."""

import numpy as np
import pytest

from attnlib import figures


@pytest.fixture
def given():
    random = np.random.default_rng(0)
    return {
        "images": random.random((2, 12, 16, 3)),
        "maps": random.random((2, 4, 12, 16)),
        "boxes": np.tile([2.0, 3, 8, 6], (2, 3, 1)),
        "masks": (random.random((2, 12, 16)) > 0.5).astype(int),
    }


def test_a_row_for_each_image(given):
    fig = figures.refinements(**given, title="Sharper")
    heads = [ax.get_title() for ax in fig.axes[:7]]
    steps = ["step 1", "step 2", "step 3"]
    assert heads == ["image", "global", *steps, "truth"] + heads[6:]
    assert len(fig.axes) == 2 * 6
    boxed = [len(ax.patches) for ax in fig.axes[:6]]
    assert boxed == [0, 0, 1, 1, 1, 0]
    alt = figures.get_alt(fig)
    error = np.abs(given["maps"][0, 0] - given["masks"][0]).mean()
    assert "Sharper" in alt and "3 windows" in alt and f"{error:.3f} to" in alt


@pytest.mark.parametrize("step", [0, 1, 3])
def test_one_step(given, step):
    one = [given[k][0] for k in ("images", "maps", "boxes", "masks")]
    fig = figures.refinement_step(*one, step, "A step")
    assert len(fig.axes[0].patches) == step
    assert len(fig.axes[2].patches) == min(step, 1)
    alt = figures.get_alt(fig)
    assert f"Step {step} of 3" in alt
    assert ("2, 3, 8, 6 pixels" in alt) == (step > 0)


def test_bad_steps_and_sizes(given):
    one = [given[k][0] for k in ("images", "maps", "boxes", "masks")]
    with pytest.raises(ValueError, match="from 0 to 3. Received: 4"):
        figures.refinement_step(*one, 4, "A step")
    for name, cut in (
        ("maps", given["maps"][:, :, 1:]),
        ("boxes", given["boxes"][:, 1:]),
        ("masks", given["masks"][:1]),
    ):
        with pytest.raises(ValueError, match=f"expected `{name}` of shape"):
            figures.refinements(**{**given, name: cut}, title="")
    with pytest.raises(ValueError, match="nothing to draw"):
        figures.refinements(
            [], **{k: given[k][:0] for k in list(given)[1:]}, title=""
        )


def test_precision_recall_curves():
    curves = {
        "global": (np.array([0.5, 1]), np.array([1, 0.2])),
        "refined": (np.array([0.8, 1]), np.array([1, 0.6])),
    }
    fig = figures.precision_recall_curves(
        curves, "Higher is better", {"refined": (0.8, 1.0)}
    )
    (ax,) = fig.axes
    assert len(ax.lines) == 3
    assert ax.get_ylabel() == "precision" and "recall" in ax.get_xlabel()
    assert "refined 0.80 at recall 1.00" in figures.get_alt(fig)
    with pytest.raises(ValueError, match="as many values"):
        figures.precision_recall_curves({"a": ([1], [1, 0])}, "")
    with pytest.raises(ValueError, match="nothing to draw"):
        figures.precision_recall_curves({}, "")
