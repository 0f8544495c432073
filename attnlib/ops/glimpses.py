"""The glimpse sensor: square windows cut from an image at any place."""

from keras import ops

from attnlib.ops import checks


def extract_glimpses(images, locations, size, scales=1):
    """Cut square windows of growing width around a location.

    Window k covers `size * 2**k` pixels a side and is average-pooled to
    `size`. It starts at pixel round(p - (size * 2**k - 1) / 2), ties to even,
    where p is the location in pixels. Outside the image all is 0. The cost
    does not depend on the image's height and width: only the pixels under the
    windows are read. A location that is NaN gives NaN.

    Args:
        images: Images, shape (B, H, W, C).
        locations: Centres (x, y) in [-1, 1], shape (B, 2); (-1, -1) is the
            top-left corner. No gradient flows into them.
        size: Width of a glimpse in pixels, at least 1.
        scales: Number of windows, at least 1.

    Returns:
        Glimpses, shape (B, scales, size, size, C), in the dtype of `images`.

    Raises:
        ValueError: A rank, size or dtype is wrong.

    Convention:
        Pixel position ((x + 1) * W - 1) / 2, as with `align_corners=False`.

    Reference:
        Mnih et al. 2014, arXiv:1406.6247, section 3.1.
    """
    images = checks.floating("images", images)
    locations = checks.floating("locations", locations)
    checks.rank("images", images, 4)
    checks.pixels("images", images)
    checks.rank("locations", locations, 2)
    checks.same("last axis", locations=locations.shape[1], coordinates=2)
    checks.same(
        "batch sizes", images=images.shape[0], locations=locations.shape[0]
    )
    checks.positive_integer("size", size)
    checks.positive_integer("scales", scales)
    centres = _pixel_centres(images, locations)
    windows = [_window(images, centres, size, 2**k) for k in range(scales)]
    return ops.stack(windows, axis=1)


def _pixel_centres(images, locations):
    """Return the centres (x, y) in pixels, float32, without gradient."""
    _, height, width, _ = ops.shape(images)
    extent = ops.stack(
        [ops.cast(width, "float32"), ops.cast(height, "float32")]
    )
    locations = ops.cast(ops.stop_gradient(locations), "float32")
    return ((locations + 1) * extent - 1) / 2


def _window(images, centres, size, factor):
    batch, height, width, channels = ops.shape(images)
    side = size * factor
    start = ops.round(centres - (side - 1) / 2)  # (B, 2)
    # Not a maximum: backends make different integers of a NaN.
    start = ops.where(start > -side, start, ops.full_like(start, -side))
    start = ops.cast(start, "int32")
    steps = ops.arange(side, dtype="int32")
    columns = start[:, :1] + steps[None, :]  # (B, side)
    rows = start[:, 1:] + steps[None, :]
    inside = ops.logical_and(
        ops.logical_and(rows >= 0, rows < height)[:, :, None],
        ops.logical_and(columns >= 0, columns < width)[:, None, :],
    )  # (B, side, side)
    rows = ops.clip(rows, 0, height - 1)
    columns = ops.clip(columns, 0, width - 1)
    first = ops.arange(batch, dtype="int32")[:, None] * height
    flat = ((first + rows) * width)[:, :, None] + columns[:, None, :]
    pixels = ops.take(
        ops.reshape(images, (batch * height * width, channels)), flat, axis=0
    )
    # The shape is restored since an empty batch loses it on JAX.
    pixels = ops.reshape(pixels, (batch, side, side, channels))
    # 0, or NaN where the location is. Not a product with `inside`: a NaN at
    # the border must not spread outside the image.
    outside = ops.sum(ops.where(ops.isnan(centres), centres, 0.0), axis=1)
    outside = ops.cast(outside[:, None, None, None], pixels.dtype)
    pixels = ops.where(inside[..., None], pixels, outside)
    if factor == 1:
        return pixels
    shape = (batch, size, factor, size, factor, channels)
    return ops.mean(ops.reshape(pixels, shape), axis=(2, 4))
