"""How good a saliency map is: F-beta, mean absolute error, S-measure.

NumPy and float64. Maps are probabilities in [0, 1], masks 0 or 1; all arrays
are (N, H, W), and every image counts alike.
"""

import numpy as np

BETA2 = 0.3  # precision counts more than recall
LEVELS = 256


def _checked(maps, masks):
    maps, masks = np.asarray(maps), np.asarray(masks)
    if maps.ndim != 3 or maps.shape != masks.shape or not maps.size:
        raise ValueError(
            "expected one mask of the size of each map, (N, H, W). Received: "
            f"maps {maps.shape}, masks {masks.shape}. Resize the maps"
        )
    if not np.isin(masks, (0, 1)).all():
        raise ValueError(
            "expected masks of 0 and 1. Received: "
            f"{masks[~np.isin(masks, (0, 1))][0]}. Divide by the largest value"
        )
    if not (maps.min() >= 0 and maps.max() <= 1):
        raise ValueError(
            f"expected maps in [0, 1]. Received: {maps.min():.3g} to "
            f"{maps.max():.3g}. Take the sigmoid of logits"
        )
    return maps, masks.astype(bool)


def f_beta(precision, recall) -> np.ndarray:
    """Return (1 + beta^2) P R / (beta^2 P + R) with beta^2 = 0.3.

    Args:
        precision: Numbers in [0, 1].
        recall: Likewise.

    Returns:
        float64; 0 where both are 0.

    Example:

    >>> round(float(f_beta(0.5, 1.0)), 4)
    0.5652
    """
    precision = np.asarray(precision, np.float64)
    recall = np.asarray(recall, np.float64)
    below = BETA2 * precision + recall
    above = (1 + BETA2) * precision * recall
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def precision_recall(maps, masks):
    """Return precision and recall at 256 thresholds, means over images.

    A pixel is called salient at threshold k / 256 when its map is at least
    that. An image where none is has precision 1; a mask without a salient
    pixel has recall 1.

    Args:
        maps: (N, H, W) in [0, 1].
        masks: (N, H, W), 0 or 1.

    Returns:
        `(thresholds, precision, recall)`, float64 (256,) each.
    """
    maps, masks = _checked(maps, masks)
    total = np.zeros((2, LEVELS))
    for one, mask in zip(maps, masks, strict=True):
        level = np.minimum(one * LEVELS, LEVELS - 1).astype(int).ravel()
        called = _at_least(level)
        hit = _at_least(level[mask.ravel()])
        there = mask.sum()
        total[0] += np.where(called > 0, hit / np.maximum(called, 1), 1)
        total[1] += hit / there if there else 1
    thresholds = np.arange(LEVELS) / LEVELS
    return thresholds, *(total / len(maps))


def _at_least(level):
    """Count, for each of 256 levels, what is at least as high."""
    return np.bincount(level, minlength=LEVELS)[::-1].cumsum()[::-1]


def best_f_beta(maps, masks):
    """Return the largest F-beta over all thresholds, and its threshold.

    F-beta of the mean precision and the mean recall, as benchmarks have it.

    Args:
        maps: (N, H, W) in [0, 1].
        masks: (N, H, W), 0 or 1.

    Returns:
        `(f, threshold)`: two floats.

    Example:

    >>> best_f_beta([[[0.1, 0.8], [0.9, 0.2]]], [[[0, 1], [1, 0]]])[0]
    1.0
    """
    thresholds, precision, recall = precision_recall(maps, masks)
    values = f_beta(precision, recall)
    best = int(values.argmax())
    return float(values[best]), float(thresholds[best])


def adaptive_f_beta(maps, masks) -> float:
    """Return the mean F-beta of images cut at twice their mean saliency.

    Args:
        maps: (N, H, W) in [0, 1].
        masks: (N, H, W), 0 or 1.

    Reference:
        Achanta et al. 2009, doi:10.1109/CVPR.2009.5206596, section 4.
    """
    maps, masks = _checked(maps, masks)
    cut = np.minimum(2 * maps.mean((1, 2), keepdims=True), 1)
    return float(region_f_beta(maps >= cut, masks).mean())


def region_f_beta(called, masks, region=None) -> np.ndarray:
    """Return F-beta of each image, or of a region of it.

    Args:
        called: Booleans (N, H, W), what was called salient.
        masks: Booleans (N, H, W), what is.
        region: Booleans (N, H, W), which pixels count, or None for all.

    Returns:
        float64 (N,); 1 where nothing is salient and nothing was called so.
    """
    region = True if region is None else region
    called, masks = called & region, masks & region
    hit, found, there = (
        part.sum((1, 2)) for part in (called & masks, called, masks)
    )
    value = f_beta(hit / np.maximum(found, 1), hit / np.maximum(there, 1))
    return np.where((found == 0) & (there == 0), 1, value)


def mean_absolute_error(maps, masks) -> float:
    """Return the mean difference of map and mask over all pixels.

    Args:
        maps: (N, H, W) in [0, 1].
        masks: (N, H, W), 0 or 1.

    Example:

    >>> mean_absolute_error([[[0.25, 1.0]]], [[[0, 1]]])
    0.125
    """
    maps, masks = _checked(maps, masks)
    return float(np.abs(maps.astype(np.float64) - masks).mean())


def s_measure(maps, masks) -> float:
    """Return the mean structure measure of maps, 0.5 S_o + 0.5 S_r.

    S_o, object-aware: maps shall be high and even on the object, low and even
    off it. S_r, region-aware: structural similarity in the four blocks around
    the centre of the mask, weighted by their areas.

    Args:
        maps: (N, H, W) in [0, 1].
        masks: (N, H, W), 0 or 1.

    Returns:
        0 to 1. A mask of zeros: 1 minus the map's mean; of ones: its mean.

    Reference:
        Fan et al. 2017, arXiv:1708.00786. Variances have N - 1, and blocks
        are weighted by area, as in the authors' code.
    """
    maps, masks = _checked(maps, masks)
    maps = maps.astype(np.float64)
    return float(
        np.mean([_structure(*pair) for pair in zip(maps, masks, strict=True)])
    )


def _structure(one, mask):
    share = mask.mean()
    if share in (0, 1):
        return abs(1 - share - one.mean())
    whole = share * _evenness(one[mask])
    whole += (1 - share) * _evenness(1 - one[~mask])
    return max(0.0, (whole + _by_region(one, mask)) / 2)


def _spread(values):
    return values.var(ddof=1) if values.size > 1 else 0.0


def _evenness(values):
    mean = values.mean()
    return 2 * mean / (mean**2 + 1 + np.sqrt(_spread(values)))


def _by_region(one, mask):
    rows, columns = np.nonzero(mask)
    y, x = round(rows.mean()) + 1, round(columns.mean()) + 1
    total = 0.0
    for part in (np.s_[:y, :x], np.s_[:y, x:], np.s_[y:, :x], np.s_[y:, x:]):
        if one[part].size:
            weight = one[part].size / one.size
            total += weight * _similarity(one[part], mask[part].astype(float))
    return total


def _similarity(one, other):
    """Structural similarity of two blocks, without constants."""
    mean, wanted = one.mean(), other.mean()
    joint = 0.0
    if one.size > 1:
        joint = ((one - mean) * (other - wanted)).sum() / (one.size - 1)
    above = 4 * mean * wanted * joint
    below = (mean**2 + wanted**2) * (_spread(one) + _spread(other))
    if above:
        return above / below
    return 1.0 if below == 0 else 0.0
