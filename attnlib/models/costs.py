"""What models cost, counted exactly: parameters and multiply-adds.

Everything is a pure function of the image's side; nothing is built or run.
A multiply-add is one product and one sum, as in a matrix product; biases,
activations, pooling and averages are no multiply-adds. Costs are those of the
inference of one image.
"""

import math
from dataclasses import dataclass

from attnlib.ops import checks


@dataclass(frozen=True)
class Cost:
    """The cost of one image; costs of successive parts can be added.

    Attributes:
        params: Numbers that training adjusts, biases included.
        macs: Multiply-adds.
        activations: Numbers written as outputs of layers, the image excluded;
            an upper bound of what inference must hold at once.
        pixels_read: Numbers of the image that are looked at, with repetition.
    """

    params: int = 0
    macs: int = 0
    activations: int = 0
    pixels_read: int = 0

    def __add__(self, other):
        if not isinstance(other, Cost):
            return NotImplemented
        return Cost(
            self.params + other.params,
            self.macs + other.macs,
            self.activations + other.activations,
            self.pixels_read + other.pixels_read,
        )

    def repeated(self, times):
        """Return the cost of using the same weights several times."""
        return Cost(
            self.params,
            self.macs * times,
            self.activations * times,
            self.pixels_read * times,
        )


def dense(inputs, units):
    """Return the cost of a fully connected layer with bias.

    Args:
        inputs: Width of the input.
        units: Width of the output.

    Returns:
        A `Cost`.

    Example:

    >>> dense(256, 10)
    Cost(params=2570, macs=2560, activations=10, pixels_read=0)
    """
    checks.positive_integer("inputs", inputs)
    checks.positive_integer("units", units)
    macs = inputs * units
    return Cost(params=macs + units, macs=macs, activations=units)


def conv_side(side, kernel, stride=1, padding="valid"):
    """Return the side of a convolution's output, as Keras defines it.

    Args:
        side: Side of the square input.
        kernel: Side of the square kernel.
        stride: Step of the kernel.
        padding: `"valid"` or `"same"`.

    Returns:
        An integer of at least 1.

    Raises:
        ValueError: The input is smaller than the kernel.
    """
    for name, value in (("side", side), ("kernel", kernel), ("stride", stride)):
        checks.positive_integer(name, value)
    if padding == "same":
        return math.ceil(side / stride)
    if padding != "valid":
        raise ValueError(
            f"expected padding to be 'valid' or 'same'. Received: {padding!r}"
        )
    if side < kernel:
        raise ValueError(
            f"expected an input of at least {kernel} pixels a side, the "
            f"kernel's. Received: {side}"
        )
    return (side - kernel) // stride + 1


def conv2d(side, channels, filters, kernel, stride=1, padding="valid"):
    """Return the cost of a convolution of a square input, with bias.

    Args:
        side: Side of the input.
        channels: Channels of the input.
        filters: Channels of the output.
        kernel: Side of the kernel.
        stride: Step of the kernel.
        padding: `"valid"` or `"same"`; products with padded zeros count.

    Returns:
        A `Cost`.

    Example:

    >>> conv2d(60, 1, 8, 10, stride=5).macs
    96800
    """
    outputs = conv_side(side, kernel, stride, padding) ** 2
    weights = kernel * kernel * channels * filters
    return Cost(
        params=weights + filters,
        macs=outputs * weights,
        activations=outputs * filters,
    )


def ram(
    side,
    glimpse_size=12,
    scales=3,
    num_glimpses=8,
    channels=1,
    units=256,
    num_classes=10,
):
    """Return the cost of the recurrent attention model.

    Per glimpse: what and where are embedded (`units` / 2 each), mapped to
    `units` and added; the core joins that with its state; the location network
    maps the state to (x, y). The class is read from the last state. `side` is
    only checked: it enters no count, and that is the model's point.

    Args:
        side: Side of the image in pixels.
        glimpse_size: Side of the finest window in pixels.
        scales: Number of windows, each twice as wide as the one before.
        num_glimpses: Glimpses per image.
        channels: Channels of the image.
        units: Width of the core.
        num_classes: Number of classes.

    Returns:
        A `Cost`. Its `pixels_read` are the pixels under all windows, which
        are averaged before the network sees them.

    Raises:
        ValueError: The image is smaller than the finest window.

    Example:

    >>> ram(60).macs == ram(8192).macs
    True

    Reference:
        Mnih et al. 2014, arXiv:1406.6247. Differs from `models.ram` in: no
        hidden layer in the location network and no baseline, as in the paper.
    """
    checks.positive_integer("side", side)
    checks.positive_integer("scales", scales)
    checks.positive_integer("num_glimpses", num_glimpses)
    if side < checks.positive_integer("glimpse_size", glimpse_size):
        raise ValueError(
            f"expected an image of at least {glimpse_size} pixels a side, the "
            f"glimpse's. Received: {side}"
        )
    half = units // 2
    pixels = scales * glimpse_size**2 * channels
    windows = sum((glimpse_size * 2**k) ** 2 for k in range(scales))
    glimpse = (
        Cost(activations=pixels, pixels_read=windows * channels)
        + dense(pixels, half)  # what is seen
        + dense(2, half)  # where
        + dense(half, units)
        + dense(half, units)
        + dense(units, units)  # the core: from the glimpse
        + dense(units, units)  # and from its last state
        + dense(units, 2)  # the next location
    )
    return glimpse.repeated(num_glimpses) + dense(units, num_classes)


def small_conv_net(side, channels=1, num_classes=10):
    """Return the cost of the convolutional baseline of the RAM paper.

    8 filters of 10x10 pixels in steps of 5, flattened into 256 units, then the
    classes: both layers grow with the number of pixels, and so do the weights.

    Args:
        side: Side of the image in pixels, at least 10.
        channels: Channels of the image.
        num_classes: Number of classes.

    Returns:
        A `Cost`.

    Example:

    >>> round(small_conv_net(100).macs / 1e6, 3)
    1.031

    Reference:
        Mnih et al. 2014, arXiv:1406.6247, section 4.1.
    """
    cells = conv_side(side, kernel=10, stride=5) ** 2
    return (
        Cost(pixels_read=side * side * channels)
        + conv2d(side, channels, 8, kernel=10, stride=5)
        + dense(cells * 8, 256)
        + dense(256, num_classes)
    )


def pooling_cnn(side, channels=1, num_classes=10, filters=(16, 32, 64)):
    """Return the cost of a CNN that ends in global average pooling.

    3x3 convolutions in steps of 2, zero-padded, then the mean over all places:
    the weights no longer depend on the image, the multiply-adds still do.

    Args:
        side: Side of the image in pixels.
        channels: Channels of the image.
        num_classes: Number of classes.
        filters: Channels of the convolutions.

    Returns:
        A `Cost`.
    """
    total = Cost(pixels_read=side * side * channels)
    for width in filters:
        total += conv2d(side, channels, width, 3, stride=2, padding="same")
        side, channels = conv_side(side, 3, 2, "same"), width
    return total + Cost(activations=channels) + dense(channels, num_classes)


def bilinear_sampler(side, channels=1):
    """Return the cost of an affine grid and of sampling the image on it.

    Args:
        side: Side of the sampled crop in pixels.
        channels: Channels of the image.

    Returns:
        A `Cost`: per point of the grid 6 multiply-adds for the affine map and
        4 per channel for the weighted mean of four pixels.
    """
    points = checks.positive_integer("side", side) ** 2
    return Cost(
        macs=points * (6 + 4 * channels),
        activations=points * (2 + channels),
        pixels_read=4 * points * channels,
    )


def stn_crop(side, crop=28, thumbnail=32, channels=1, num_classes=10):
    """Return the cost of a spatial transformer that crops, then classifies.

    A localisation network (two 5x5 convolutions with 20 filters, each
    followed by 2x2 max-pooling, 20 units) reads an averaged-down copy of the
    image and gives the six numbers of an affine map; the bilinear sampler
    takes a crop; the small conv net classifies it.

    Args:
        side: Side of the image in pixels.
        crop: Side of the crop in pixels, at least 10.
        thumbnail: Side of the copy that the localisation network reads; None
            for half the image's side, as in the paper.
        channels: Channels of the image.
        num_classes: Number of classes.

    Returns:
        A `Cost`. With a thumbnail of fixed size the multiply-adds do not
        depend on the image; `pixels_read` does, since every pixel enters an
        average once.

    Raises:
        ValueError: The thumbnail is larger than the image or too small for
            the localisation network.

    Reference:
        Jaderberg et al. 2015, arXiv:1506.02025.
    """
    checks.positive_integer("side", side)
    small = side // 2 if thumbnail is None else thumbnail
    if small > side:
        raise ValueError(
            f"expected a thumbnail of at most the image's {side} pixels a "
            f"side. Received: {small}"
        )
    first = conv_side(small, 5) // 2  # after max-pooling
    second = conv_side(first, 5) // 2 if first >= 5 else 0
    if second == 0:
        raise ValueError(
            "expected a localisation input of at least 16 pixels a side. "
            f"Received: {small}"
        )
    pooled = 20 * (first**2 + second**2)
    localisation = (
        Cost(activations=small**2 * channels + pooled)
        + conv2d(small, channels, 20, 5)
        + conv2d(first, 20, 20, 5)
        + dense(20 * second**2, 20)
        + dense(20, 6)
    )
    classifier = small_conv_net(crop, channels, num_classes)
    return (
        Cost(pixels_read=side * side * channels)
        + localisation
        + bilinear_sampler(crop, channels)
        # The crop is a small image in memory: only the sampler reads the
        # large one.
        + Cost(classifier.params, classifier.macs, classifier.activations)
    )


def area_ratio(to_side, from_side):
    """Return how much dearer convolutions become with a larger image.

    A convolution does the same work at every place, so its multiply-adds go
    with the number of places.

    Args:
        to_side: Side of the new image in pixels.
        from_side: Side of the old image in pixels.

    Returns:
        The ratio of the areas.

    Example:

    >>> round(area_ratio(110, 54), 2)
    4.15
    """
    checks.positive_integer("to_side", to_side)
    checks.positive_integer("from_side", from_side)
    return (to_side / from_side) ** 2


def small_conv_net_crossover(macs, channels=1, num_classes=10):
    """Return the image side at which the small conv net costs this much.

    With n outputs a side, the net costs n^2 (8 * 100 * channels + 8 * 256) +
    256 * num_classes, and n = (side - 10) / 5 + 1 when it is not rounded down.

    Args:
        macs: Multiply-adds to reach, for example those of `ram`.
        channels: Channels of the image.
        num_classes: Number of classes.

    Returns:
        The side in pixels, not rounded.

    Raises:
        ValueError: `macs` is below the cost of the smallest image.

    Example:

    >>> round(small_conv_net_crossover(ram(100, scales=4).macs))
    143
    """
    per_place = 8 * 100 * channels + 8 * 256
    places = (macs - 256 * num_classes) / per_place
    if places < 1:
        raise ValueError(
            "expected at least the multiply-adds of an image of 10 pixels a "
            f"side, {per_place + 256 * num_classes}. Received: {macs}"
        )
    return 5 * (math.sqrt(places) - 1) + 10
