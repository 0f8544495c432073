"""Operations and layers, each with its obvious alternative.

Every function returns a `Pair` at the sizes of its arguments; the tests call
it with small ones.
"""

import importlib.util

import keras
import numpy as np
from comparison import Pair
from keras import ops

import attnlib
from attnlib.layers import BahdanauAttention


def _generator():
    return np.random.default_rng(0)


def _normal(*shape):
    return _generator().normal(size=shape).astype("float32")


def _pure(layer, *shapes):
    """Return a built layer as a function of inputs and weights, and those.

    Weights are arguments, or compilers would fold them as constants.
    """
    layer.build(*shapes)
    weights = [np.array(w, "float32") for w in layer.get_weights()]

    def call(*tensors):
        inputs, values = tensors[: len(shapes)], tensors[len(shapes) :]
        outputs, _ = layer.stateless_call(list(values), [], *inputs)
        return outputs[0] if isinstance(outputs, (list, tuple)) else outputs

    return call, weights


def bahdanau_attention(batch=64, steps=14, source=40, width=256, units=256):
    """BahdanauAttention, and Keras' AdditiveAttention with projections."""
    shapes = (batch, steps, width), (batch, source, width)
    call, weights = _pure(BahdanauAttention(units), *shapes)
    keys = keras.layers.AdditiveAttention(use_scale=True)
    keys.build([(batch, steps, units), shapes[1], (batch, source, units)])

    def other(query, memory, w_a, u_a, v_a):
        projected = ops.matmul(query, w_a), memory, ops.matmul(memory, u_a)
        context, _ = keys.stateless_call([v_a], [], list(projected))
        return context

    pairs = batch * steps * source
    operations = 2 * batch * (steps + source) * width * units
    # Sum, tanh, product and sum per unit; softmax; context.
    operations += pairs * (4 * units + 5 + 2 * width)
    inputs = _normal(*shapes[0]), _normal(*shapes[1]), *weights
    return Pair(call, other, inputs, operations)


def masked_softmax(batch=64, steps=50, source=200):
    """masked_softmax, and a softmax with -1e9 added to masked scores."""
    mask = np.arange(source) < _generator().integers(1, source, (batch, 1, 1))
    penalty = np.where(mask, 0, -1e9).astype("float32")

    def ours(scores):
        return attnlib.ops.masked_softmax(scores, mask)

    def other(scores):
        return ops.softmax(ops.add(scores, penalty), axis=-1)

    scores = _normal(batch, steps, source)
    return Pair(ours, other, (scores,), 5 * scores.size)


def extract_glimpses(batch=32, side=100, size=12):
    """extract_glimpses, and a loop over examples that slices padded images."""
    images = _normal(batch, side, side, 1)
    locations = _generator().uniform(-1, 1, (batch, 2)).astype("float32")

    def ours(images, locations):
        return attnlib.ops.extract_glimpses(images, locations, size)[:, 0]

    def other(images, locations):
        locations = ops.stop_gradient(locations)
        centre = ((locations + 1) * side - 1) / 2 - (size - 1) / 2
        start = ops.cast(ops.round(centre), "int32") + size
        padding = ((0, 0), (size, size), (size, size), (0, 0))
        padded = ops.pad(images, padding)
        windows = [
            ops.slice(
                padded[k], ops.stack([y, x, ops.zeros_like(x)]), (size, size, 1)
            )
            for k in range(batch)
            for x, y in [(start[k, 0], start[k, 1])]
        ]
        return ops.stack(windows)

    # Nothing is computed; only the pixels under the windows are read.
    read = batch * size * size * 4 + locations.nbytes
    return Pair(ours, other, (images, locations), 0, read)


def _sampler_inputs(batch, side, out, channels):
    images = _normal(batch, side, side, channels)
    grid = _generator().uniform(-1, 1, (batch, out, out, 2)).astype("float32")
    # Per value: four products, three sums, and the weights of its point.
    return (images, grid), batch * out * out * (7 * channels + 20)


def bilinear_sample(batch=16, side=40, out=28, channels=1):
    """bilinear_sample, and the paper's sum over all pixels of the image."""
    inputs, operations = _sampler_inputs(batch, side, out, channels)

    def other(images, grid):
        pixel = ((grid + 1) * side - 1) / 2  # (B, h, w, 2)
        place = ops.arange(side, dtype="float32")
        hat = ops.relu(1 - ops.abs(pixel[..., None] - place))
        rows, columns = hat[..., 1, :], hat[..., 0, :]  # (B, h, w, side)
        weights = rows[..., None] * columns[..., None, :]
        flat = ops.reshape(weights, (batch, out * out, side * side))
        pixels = ops.reshape(images, (batch, side * side, channels))
        found = ops.matmul(flat, pixels)
        return ops.reshape(found, (batch, out, out, channels))

    return Pair(attnlib.ops.bilinear_sample, other, inputs, operations)


def grid_sample(batch=32, side=64, out=64, channels=16):
    """bilinear_sample, and torch's grid_sample, on channels first."""
    inputs, operations = _sampler_inputs(batch, side, out, channels)

    def other(images, grid):
        from torch.nn.functional import grid_sample

        found = grid_sample(
            images.permute(0, 3, 1, 2), grid, align_corners=False
        )
        return found.permute(0, 2, 3, 1)

    return Pair(
        attnlib.ops.bilinear_sample, other, inputs, operations, torch=True
    )


def filterbank_read(batch=16, side=60, size=8):
    """Two products with the filters of an axis, and one with those of both."""
    images, params = _normal(batch, side, side, 1), 0.3 * _normal(batch, 5)

    def filters(params):
        return attnlib.ops.gaussian_filterbank(params, size, side, side)

    def ours(images, params):
        return attnlib.ops.filterbank_read(images, *filters(params))

    def other(images, params):
        f_x, f_y, gamma = filters(params)
        dense = f_y[:, :, None, :, None] * f_x[:, None, :, None, :]
        dense = ops.reshape(dense, (batch, size * size, side * side))
        pixels = ops.reshape(images, (batch, side * side, 1))
        patch = gamma[:, None, None] * ops.matmul(dense, pixels)
        return ops.reshape(patch, (batch, size, size, 1))

    products = 2 * batch * size * side * (side + size)
    return Pair(
        ours, other, (images, params), products + 14 * batch * size * side
    )


def gaussian_window(batch=64, components=10, length=60):
    """gaussian_window, and a loop over the positions of the text."""
    shape = batch, components
    alpha, beta = np.exp(0.3 * _normal(2, *shape))
    kappa = _generator().uniform(0, length, shape).astype("float32")

    def ours(alpha, beta, kappa):
        return attnlib.ops.gaussian_window(alpha, beta, kappa, length)

    def other(alpha, beta, kappa):
        columns = [
            ops.sum(alpha * ops.exp(-beta * ops.square(kappa - u)), axis=1)
            for u in range(1, length + 1)
        ]
        return ops.stack(columns, axis=1)

    operations = 6 * batch * components * length
    return Pair(ours, other, (alpha, beta, kappa), operations)


# Name -> (what is timed, the alternative, function that makes the pair).
PAIRS = {
    "bahdanau_attention": (
        "BahdanauAttention, batch 64, 14 queries, 40 entries of 256, 256 units",
        "two products and keras.layers.AdditiveAttention",
        bahdanau_attention,
    ),
    "masked_softmax": (
        "masked_softmax, 64 x 50 x 200 scores",
        "softmax of scores - 1e9",
        masked_softmax,
    ),
    "extract_glimpses": (
        "extract_glimpses, batch 32, 12x12 of 100x100 pixels",
        "a loop over examples that slices",
        extract_glimpses,
    ),
    "bilinear_sample": (
        "bilinear_sample, batch 16, 28x28 points in 40x40 pixels",
        "the sum over all pixels",
        bilinear_sample,
    ),
    "filterbank_read": (
        "gaussian_filterbank and filterbank_read, batch 16, 8x8 of 60x60",
        "one dense filterbank over both axes",
        filterbank_read,
    ),
    "gaussian_window": (
        "gaussian_window, batch 64, 10 components, 60 positions",
        "a loop over positions",
        gaussian_window,
    ),
}
if importlib.util.find_spec("torch"):
    PAIRS["grid_sample"] = (
        "bilinear_sample, batch 32, 64x64 points in 64x64x16",
        "torch.nn.functional.grid_sample",
        grid_sample,
    )
