"""Attention to scale: a shared network that sees an image at several scales."""

import keras
import numpy as np
from keras import ops

from attnlib.datasets.masks import IGNORE
from attnlib.layers import ScaleAttention
from attnlib.models.checked import ChecksArrays, is_array
from attnlib.ops import checks

VERSION = 1  # Raised when trained results change.

MERGES = ("attention", "average", "max")


class PixelModel(ChecksArrays, keras.Model):
    """A model that learns from masks: arrays are checked before it trains.

    What comes in batches, from a generator or a data set, has its sizes checked
    by `check_sizes` in the loss.
    """

    def check_masks(self, images, masks):
        """Raise unless masks belong to images and name known classes.

        Args:
            images: Array (N, H, W, C).
            masks: Array (N, H, W).

        Raises:
            ValueError: They do not.
        """
        raise NotImplementedError

    def check_arrays(self, x, y=None):
        x = x["images"] if isinstance(x, dict) else x
        if is_array(x) and is_array(y):
            self.check_masks(x, y)


@keras.saving.register_keras_serializable(package="attnlib")
class ScaleSegmentation(PixelModel):
    """Name every pixel, from an image seen at several scales.

    1. Image s is the image resized by the factor s, bilinearly.
    2. features phi^s and score maps f^s of one network for all scales, shapes
       (B, h_s, w_s, F) and (B, h_s, w_s, K)
    3. f^s and phi^s are resized to the grid of the finest scale, (B, h, w, .)
    4. merged scores g, (B, h, w, K) (equation 1): with attention
       sum_s w^s f^s, weights w^s from the features of all scales (2); the mean
       over the scales; or the largest score of each class over the scales.

    The loss is the mean cross entropy of the merged scores at the pixels of
    their grid that are not to be ignored; with extra supervision, plus that of
    the score maps of every scale on their own grids, each with weight 1.

    Args:
        num_classes: Number K of classes.
        scales: Factors in (0, 1], the finest first, all different. A single
            one needs no merging.
        merge: `"attention"`, `"average"` or `"max"`.
        extra_supervision: Whether each scale is also judged alone.
        network: Fully convolutional Keras model from images (B, H, W, 3) in
            [0, 1] to features (B, h, w, F); None for `build_network()`.
        units: Filters of the network that scores the scales.
        **kwargs: Of `keras.Model`.

    Call arguments:
        images: Floating (B, H, W, 3) in [0, 1]; H and W are known.

    Returns:
        A dict of `merged`, float32 (B, h, w, K); `weights`, float32 (B, S, h,
        w), which sum to 1 over the scales: of the attention, equal ones, or 1
        for the scale with the largest of all scores; `own`, a list of the
        score maps f^s, float32 (B, h_s, w_s, K), as the network gives them.

    Raises:
        ValueError: An argument is out of range, the images have another rank,
            or a scale leaves no pixel of them.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.scale_segmentation import ScaleSegmentation
    >>> model = ScaleSegmentation(5, scales=(1, 0.5), units=4)
    >>> found = model(np.zeros((1, 32, 48, 3), "float32"))
    >>> tuple(found["merged"].shape), tuple(found["own"][1].shape)
    ((1, 8, 12, 5), (1, 4, 6, 5))

    Reference:
        Chen et al. 2016, arXiv:1511.03339, section 3. Differs from the paper
        in: the network and the optimiser are the caller's; weight decay is
        theirs, too.
    """

    def __init__(
        self,
        num_classes,
        scales=(1.0, 0.5),
        merge="attention",
        extra_supervision=True,
        network=None,
        units=16,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_classes = checks.positive_integer("num_classes", num_classes)
        self.scales = _checked_scales(scales)
        self.merge = checks.one_of("merge", merge, MERGES)
        self.extra_supervision = bool(extra_supervision)
        self.network = build_network() if network is None else network
        self.units = checks.positive_integer("units", units)
        self.scorer = keras.layers.Conv2D(
            self.num_classes, 1, data_format="channels_last", name="scorer"
        )
        self.attends = merge == "attention" and len(self.scales) > 1
        if self.attends:
            # Small weights: it begins near the mean over the scales. From
            # larger ones it soon believed one scale everywhere, for good.
            self.attention = ScaleAttention(
                self.units,
                keras.initializers.RandomNormal(stddev=0.01),
                name="attention",
            )
        # XLA makes slower convolutions than TensorFlow's own on CPUs.
        self.supports_jit = keras.config.backend() != "tensorflow"
        self.nll = keras.metrics.Mean(name="nll")

    def build(self, images_shape):
        sizes = self.sizes(images_shape)
        self.channels = images_shape[-1]
        features = self.network.compute_output_shape(
            (None, *sizes[0], images_shape[-1])
        )
        self.scorer.build(features)
        if self.attends:
            *grid, width = features[1:]
            count = len(self.scales)
            self.attention.build(
                (None, count, *grid, self.num_classes),
                (None, *grid, count * width),
            )
        self.built = True

    def sizes(self, images_shape) -> list:
        """Return the heights and widths of an image at each scale.

        Args:
            images_shape: Shape of a batch of images.

        Raises:
            ValueError: The size is not known, or a scale leaves no pixel.
        """
        checks.shape_rank("images", images_shape, 4)
        _, height, width, _ = images_shape
        if height is None or width is None:
            raise ValueError(
                "expected images of a known height and width. Received: shape "
                f"{tuple(images_shape)}"
            )
        found = [(round(height * s), round(width * s)) for s in self.scales]
        for scale, size in zip(self.scales, found, strict=True):
            if min(size) < 1:
                raise ValueError(
                    "expected scales that leave at least one pixel in height "
                    f"and width. Received: scale {scale:g} of images of "
                    f"{height} x {width} pixels. Take a larger scale or image"
                )
        return found

    def check(self, images):
        """Check the rank of images, their channels, and every scale's size.

        Raises:
            ValueError: They are others than the model was built for, or a
                scale leaves no pixel of them.
        """
        checks.rank("images", images, 4)
        checks.last_axis("images", images, self.channels)
        self.sizes(tuple(images.shape))

    def check_masks(self, images, masks):
        """Raise unless masks belong to images and name known classes.

        Args:
            images: Array (N, H, W, 3).
            masks: Integers (N, H, W), 255 for pixels to ignore.

        Raises:
            ValueError: They do not.
        """
        check_masks(images, masks, self.num_classes)

    def call(self, images, training=None):
        images = checks.floating("images", images, self.compute_dtype)
        self.check(images)
        own, features = [], []
        for size in self.sizes(tuple(images.shape)):
            seen = self.network(resized(images, size), training=training)
            features.append(seen)
            own.append(ops.cast(self.scorer(seen), "float32"))
        grid = tuple(own[0].shape[1:3])
        maps = ops.stack([resized(f, grid) for f in own], axis=1)
        if self.attends:
            joined = ops.concatenate(
                [resized(f, grid) for f in features], axis=-1
            )
            merged, weights = self.attention(maps, joined)
        else:
            merged, weights = pooled(maps, self.merge)
        return {
            "merged": ops.cast(merged, "float32"),
            "weights": ops.cast(weights, "float32"),
            "own": own,
        }

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Return the sum of the mean cross entropies, in nats.

        Args:
            x: The images, whose size the masks must have, or None.
            y: Class of every pixel, integers (B, H, W); 255 is ignored.
            y_pred: What the call returned.
            sample_weight: Not used.
            training: Not used.

        Raises:
            ValueError: Masks have another size than the images.
        """
        if x is not None:
            check_sizes(x.shape, y.shape)
        nll = pixel_nll(y, y_pred["merged"])
        self.nll.update_state(nll)
        if not self.extra_supervision or len(self.scales) == 1:
            return nll
        return nll + sum(pixel_nll(y, scores) for scores in y_pred["own"])

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "scales": self.scales,
            "merge": self.merge,
            "extra_supervision": self.extra_supervision,
            "network": keras.saving.serialize_keras_object(self.network),
            "units": self.units,
        }

    @classmethod
    def from_config(cls, config):
        network = keras.saving.deserialize_keras_object(config["network"])
        return cls(**{**config, "network": network})


def _checked_scales(scales):
    scales = tuple(scales if isinstance(scales, tuple | list) else [scales])
    good = bool(scales) and all(
        isinstance(s, int | float) and not isinstance(s, bool) and 0 < s <= 1
        for s in scales
    )
    if not good or list(scales) != sorted(set(scales), reverse=True):
        raise ValueError(
            "expected scales above 0 and up to 1, all different, the finest "
            f"first. Received: {scales}"
        )
    return tuple(float(s) for s in scales)


def check_sizes(images_shape, masks_shape):
    """Raise unless masks have the size of images, as far as it is known.

    Args:
        images_shape: Shape of images, (B, H, W, C).
        masks_shape: Shape of masks, (B, H, W).

    Raises:
        ValueError: A size differs, or masks have another rank.

    Example:

    >>> check_sizes((None, 4, 6, 3), (1, 4, 6))
    """
    images_shape, masks_shape = tuple(images_shape), tuple(masks_shape)
    alike = len(masks_shape) == len(images_shape[:3]) == 3 and all(
        None in pair or pair[0] == pair[1]
        for pair in zip(images_shape[:3], masks_shape, strict=True)
    )
    if not alike:
        raise ValueError(
            "expected a mask of the size of each image, (N, H, W) for images "
            f"(N, H, W, 3). Received: images {images_shape}, masks "
            f"{masks_shape}. Resize the masks without interpolation"
        )


def check_masks(images, masks, num_classes, ignore=IGNORE):
    """Raise unless masks belong to images and name known classes.

    Args:
        images: Array (N, H, W, C).
        masks: Integers (N, H, W), the class of every pixel, or `ignore`.
        num_classes: Number of classes.
        ignore: Label of pixels that count for nothing; None: there is none.

    Raises:
        ValueError: Sizes differ, or a label is none of the classes.

    Example:

    >>> check_masks(np.zeros((1, 4, 6, 3)), np.zeros((1, 4, 6), int), 3)
    """
    images, masks = np.asarray(images), np.asarray(masks)
    check_sizes(images.shape, masks.shape)
    if masks.dtype.kind not in "ui":
        raise ValueError(
            "expected masks of whole numbers, the class of every pixel. "
            f"Received: {masks.dtype}"
        )
    bad = (masks < 0) | (masks >= num_classes)
    besides = ""
    if ignore is not None:
        bad &= masks != ignore
        besides = f", or {ignore} for pixels to ignore"
    if bad.any():
        first = int(bad.any(axis=(1, 2)).argmax())
        labels = np.unique(masks[first][bad[first]]).tolist()
        raise ValueError(
            f"expected labels from 0 to {num_classes - 1}{besides}. Received: "
            f"{labels[0]} in mask {first}"
        )


def resized(maps, size):
    """Resize (B, H, W, C) to `(height, width)` bilinearly, or leave it."""
    if tuple(maps.shape[1:3]) == tuple(size):
        return maps
    return ops.image.resize(
        maps,
        tuple(size),
        interpolation="bilinear",
        data_format="channels_last",
    )


def pooled(score_maps, merge):
    """Merge score maps of several scales without attention.

    Args:
        score_maps: Floating (B, S, H, W, K), on one grid.
        merge: `"average"`, or else the maximum over the scales of each class.

    Returns:
        `(merged, weights)`: (B, H, W, K), and (B, S, H, W): 1 / S each, or 1
        for the scale with the largest of all scores.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.scale_segmentation import pooled
    >>> maps = np.array([[1.0, 5], [3, 2]]).reshape(1, 2, 1, 1, 2)
    >>> merged, weights = pooled(maps, "max")
    >>> np.array(merged).ravel().tolist(), np.array(weights).ravel().tolist()
    ([3.0, 5.0], [1.0, 0.0])
    """
    score_maps = ops.convert_to_tensor(score_maps)
    count = score_maps.shape[1]
    best = ops.max(score_maps, axis=-1)  # (B, S, H, W)
    if merge == "average":
        return ops.mean(score_maps, axis=1), ops.full_like(best, 1 / count)
    winner = ops.one_hot(ops.argmax(best, axis=1), count, axis=1)
    return ops.max(score_maps, axis=1), winner


def shrunk(mask, size):
    """Return the classes at the centres of the cells of a coarser grid.

    Args:
        mask: Integers (B, H, W).
        size: Height and width of the grid.

    Returns:
        Integers (B, height, width).
    """
    for axis, cells in ((1, size[0]), (2, size[1])):
        pixels = mask.shape[axis]
        if cells != pixels:
            centres = [
                (2 * i + 1) * pixels // (2 * cells) for i in range(cells)
            ]
            mask = ops.take(mask, ops.array(centres, "int32"), axis=axis)
    return mask


def pixel_nll(mask, scores):
    """Return the mean cross entropy at the pixels that are not ignored.

    Args:
        mask: Class of every pixel, integers (B, H, W), 255 to ignore it; taken
            at the centres of the scores' cells.
        scores: Logits, floating (B, h, w, K).

    Returns:
        A scalar, in nats; 0 when every pixel is ignored.
    """
    count = scores.shape[-1]
    mask = ops.cast(shrunk(mask, tuple(scores.shape[1:3])), "int32")
    known = ops.not_equal(mask, IGNORE)
    named = ops.one_hot(ops.where(known, mask, 0), count, dtype=scores.dtype)
    nll = -ops.sum(named * ops.log_softmax(scores, axis=-1), axis=-1)
    known = ops.cast(known, scores.dtype)
    return ops.sum(nll * known) / ops.maximum(ops.sum(known), 1)


def build_network(filters=16, halvings=2, rates=(1, 2)):
    """Return a small fully convolutional network with atrous convolutions.

    Convolutions in steps of 2, the first 5x5, double the width up to four
    times `filters`; then 3x3 convolutions see ever wider without a coarser
    grid, their taps `rates` pixels apart; then one of 1x1. ReLU after all.

    Args:
        filters: Width of the first convolution.
        halvings: How often height and width are halved.
        rates: Distances of the taps of the following convolutions.

    Returns:
        A Keras model from (B, H, W, 3) to (B, H / 2^halvings, ..., 4 filters),
        sizes rounded up, for images of any size.

    Raises:
        ValueError: A number is no positive integer.

    Example:

    >>> from attnlib.models.scale_segmentation import build_network
    >>> build_network(4).compute_output_shape((None, 30, 64, 3))
    (None, 8, 16, 16)
    """
    checks.positive_integer("filters", filters)
    checks.positive_integer("halvings", halvings)
    # Dimmed photographs have a mean of about 0.35 and half of that spread.
    layers = [
        keras.Input((None, None, 3)),
        keras.layers.Rescaling(4.0, -1.4),
    ]
    plan = [(2 ** min(n, 2), 3 if n else 5, 2, 1) for n in range(halvings)]
    plan += [(4, 3, 1, checks.positive_integer("rate", r)) for r in rates]
    for wider, size, stride, rate in [*plan, (4, 1, 1, 1)]:
        layers.append(
            keras.layers.Conv2D(
                filters * wider,
                size,
                strides=stride,
                dilation_rate=rate,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                data_format="channels_last",
            )
        )
    return keras.Sequential(layers, name="network")


def sees(halvings=2, rates=(1, 2)) -> int:
    """Return how many pixels wide the view of one feature is.

    Args:
        halvings: As of `build_network`.
        rates: As of `build_network`.

    Example:

    >>> sees(2, (1, 2))
    33
    """
    width, step = 1, 1
    for n in range(halvings):
        width += (2 if n else 4) * step
        step *= 2
    return width + sum(2 * rate * step for rate in rates)
