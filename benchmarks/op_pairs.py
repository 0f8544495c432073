"""Operations, each with its obvious alternative.

Every function returns a `Pair` at the sizes of its arguments; the tests call
it with small ones.
"""

import dataclasses
import importlib.util

import numpy as np
from comparison import Pair
from inputs import additive, affine_maps, generator, looped, normal, products
from keras import ops

import attnlib
from attnlib import losses


def masked_softmax(batch=64, steps=50, source=200):
    """masked_softmax, and a softmax with -1e9 added to masked scores."""
    mask = np.arange(source) < generator().integers(1, source, (batch, 1, 1))
    penalty = np.where(mask, 0, -1e9).astype("float32")

    def ours(scores):
        return attnlib.ops.masked_softmax(scores, mask)

    def other(scores):
        return ops.softmax(ops.add(scores, penalty), axis=-1)

    scores = normal(batch, steps, source)
    return Pair(ours, other, (scores,), 5 * scores.size)


def extract_glimpses(batch=32, side=100, size=12):
    """extract_glimpses, and a loop over examples that slices padded images."""
    images = normal(batch, side, side, 1)
    locations = generator().uniform(-1, 1, (batch, 2)).astype("float32")

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
    images = normal(batch, side, side, channels)
    grid = generator().uniform(-1, 1, (batch, out, out, 2)).astype("float32")
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
    """bilinear_sample, and torch.nn.functional.grid_sample."""
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
    """filterbank_read, and a product with the filters of both axes."""
    images, params = normal(batch, side, side, 1), 0.3 * normal(batch, 5)

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
    alpha, beta = np.exp(0.3 * normal(2, *shape))
    kappa = generator().uniform(0, length, shape).astype("float32")

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


def grid_sample_digits(batch=256, side=60, out=60, channels=1):
    """bilinear_sample of digits, and torch.nn.functional.grid_sample."""
    grid = attnlib.ops.affine_grid(affine_maps(batch), out, out)
    pair = grid_sample(batch, side, out, channels)
    inputs = pair.inputs[0], np.array(grid)
    return dataclasses.replace(pair, inputs=inputs)


def additive_scores(batch=32, steps=14, source=40, units=256):
    """additive_scores, and a loop over the queries."""
    query, keys = normal(batch, steps, units), normal(batch, source, units)
    v = normal(units)

    def other(query, keys, v):
        rows = [
            ops.sum(v * ops.tanh(query[:, t, None] + keys), axis=-1)
            for t in range(steps)
        ]
        return ops.stack(rows, axis=1)

    operations = batch * additive(steps, source, units)
    return Pair(
        attnlib.ops.additive_scores, other, (query, keys, v), operations
    )


def bilinear_scores(batch=32, steps=14, source=40, width=256):
    """bilinear_scores, and a loop over the queries."""
    query, keys = normal(batch, steps, width), normal(batch, source, width)
    kernel = normal(width, width) / width

    def other(query, keys, kernel):
        rows = [
            ops.sum(ops.matmul(query[:, t, None], kernel) * keys, axis=-1)
            for t in range(steps)
        ]
        return ops.stack(rows, axis=1)

    operations = products(batch * steps, width, width + source)
    inputs = query, keys, kernel
    return Pair(attnlib.ops.bilinear_scores, other, inputs, operations)


def word_guided_scores(batch=32, words=20, places=196, width=128):
    """word_guided_scores, and a loop over the words."""
    inputs = normal(batch, words, width), normal(batch, places, width)

    def other(words, keys):
        scores = [
            ops.sum(word * keys, axis=-1)
            for word in ops.split(words, words.shape[1], axis=1)
        ]
        return ops.max(ops.stack(scores), axis=0)

    operations = products(batch * words, places, width)
    return Pair(attnlib.ops.word_guided_scores, other, inputs, operations)


def merge_scales(batch=8, scales=3, side=40, classes=21):
    """merge_scales, and a loop over the scales."""
    maps = normal(batch, scales, side, side, classes)
    scores = normal(batch, side, side, scales)

    def ours(maps, scores):
        return attnlib.ops.merge_scales(maps, scores)[0]

    def other(maps, scores):
        powers = ops.exp(scores)
        total = ops.sum(powers, axis=-1, keepdims=True)
        return sum(
            maps[:, k] * (powers[..., k, None] / total) for k in range(scales)
        )

    operations = 2 * maps.size + 5 * scores.size
    return Pair(ours, other, (maps, scores), operations)


def _grid_points(side):
    """Return (x, y, 1) of every pixel, shape (side * side, 3)."""
    axis = (2 * np.arange(side, dtype="float32") + 1) / side - 1
    x, y = np.meshgrid(axis, axis)
    return np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)


def affine_grid(batch=64, side=60):
    """affine_grid, and a matrix product with all points."""
    points = _grid_points(side)

    def ours(theta):
        return attnlib.ops.affine_grid(theta, side, side)

    def other(theta):
        found = ops.matmul(points, ops.transpose(theta, (0, 2, 1)))
        return ops.reshape(found, (batch, side, side, 2))

    operations = products(batch, side**2, 2 * 2)
    return Pair(ours, other, (affine_maps(batch),), operations)


def projective_grid(batch=64, side=60):
    """projective_grid, and a matrix product and a quotient."""
    points = _grid_points(side)
    last = np.tile(np.array([[[0.1, 0.1, 1]]], "float32"), (batch, 1, 1))
    theta = np.concatenate([affine_maps(batch), last], axis=1)

    def ours(theta):
        return attnlib.ops.projective_grid(theta, side, side)

    def other(theta):
        found = ops.matmul(points, ops.transpose(theta, (0, 2, 1)))
        found = found[..., :2] / found[..., 2:]
        return ops.reshape(found, (batch, side, side, 2))

    operations = products(batch, side**2, 3 * 2) + 2 * batch * side**2
    return Pair(ours, other, (theta,), operations)


def tps_grid(batch=64, side=60, control=4):
    """tps_grid, and the same for one example after another."""

    def ours(offsets):
        return attnlib.ops.tps_grid(offsets, side, side)

    offsets = 0.1 * normal(batch, control**2, 2)
    operations = products(batch, side**2, 3 * control**2, 2)
    return Pair(ours, looped(ours), (offsets,), operations)


def invert_affine(batch=256):
    """invert_affine, and the inverse of every 3 x 3 matrix."""
    last = np.tile(np.array([[[0, 0, 1]]], "float32"), (batch, 1, 1))

    def other(theta):
        return ops.inv(ops.concatenate([theta, last], axis=1))[:, :2]

    # Twelve products, five sums and six quotients.
    operations = 23 * batch
    inputs = (affine_maps(batch),)
    return Pair(attnlib.ops.invert_affine, other, inputs, operations)


def gaussian_filterbank(batch=64, size=12, side=100):
    """gaussian_filterbank, and Gaussians that are divided by their sums."""
    params = 0.3 * normal(batch, 5)

    def ours(params):
        f_x, f_y, gamma = attnlib.ops.gaussian_filterbank(
            params, size, side, side
        )
        return gamma[:, None, None] * (f_x + f_y)

    def other(params):
        stride = (side - 1) / max(size - 1, 1) * ops.exp(params[:, 3:4])
        place = (np.arange(size, dtype="float32") - size / 2 + 0.5) * stride
        pixels = np.arange(1, side + 1, dtype="float32")
        width = 2 * ops.exp(params[:, 2])[:, None, None]

        def rows(centre):
            means = (side + 1) / 2 * (centre + 1) + place
            power = ops.exp(-((pixels - means[:, :, None]) ** 2) / width)
            return power / ops.sum(power, axis=-1, keepdims=True)

        summed = rows(params[:, :1]) + rows(params[:, 1:2])
        return ops.exp(params[:, 4])[:, None, None] * summed

    return Pair(ours, other, (params,), 2 * 10 * batch * size * side)


def filterbank_write(batch=16, side=60, size=8):
    """filterbank_write, and a product with the filters of both axes."""
    patches, params = normal(batch, size, size, 1), 0.3 * normal(batch, 5)

    def filters(params):
        return attnlib.ops.gaussian_filterbank(params, size, side, side)

    def ours(patches, params):
        return attnlib.ops.filterbank_write(patches, *filters(params))

    def other(patches, params):
        f_x, f_y, gamma = filters(params)
        dense = f_y[:, :, None, :, None] * f_x[:, None, :, None, :]
        dense = ops.reshape(dense, (batch, size * size, side * side))
        flat = ops.reshape(patches, (batch, 1, size * size))
        images = ops.matmul(flat, dense) / gamma[:, None, None]
        return ops.reshape(images, (batch, side, side, 1))

    operations = products(batch, size, side, side + size)
    operations += 14 * batch * size * side
    return Pair(ours, other, (patches, params), operations)


def choice_log_prob(batch=512, places=196):
    """choice_log_prob, and a one-hot product under a logarithm."""
    weights = np.exp(normal(batch, places))
    weights /= weights.sum(-1, keepdims=True)
    choice = np.eye(places, dtype="float32")[
        generator().integers(0, places, batch)
    ]

    def ours(weights):
        return attnlib.ops.choice_log_prob(weights, choice)

    def other(weights):
        return ops.log(ops.sum(weights * choice, axis=-1))

    return Pair(ours, other, (weights,), 3 * weights.size)


def attention_entropy(batch=512, places=196):
    """attention_entropy, and logarithms of weights plus 1e-9."""
    weights = np.exp(normal(batch, places))
    weights /= weights.sum(-1, keepdims=True)

    def other(weights):
        return -ops.sum(weights * ops.log(weights + 1e-9), axis=-1)

    return Pair(
        attnlib.ops.attention_entropy, other, (weights,), 3 * weights.size
    )


def doubly_stochastic_penalty(batch=64, steps=20, places=196):
    """doubly_stochastic_penalty, and a loop over the steps."""
    weights = generator().random((batch, steps, places)).astype("float32")

    def other(weights):
        missing = 1.0
        for t in range(steps):
            missing = missing - weights[:, t]
        return ops.sum(missing * missing, axis=-1)

    ours = losses.doubly_stochastic_penalty
    return Pair(ours, other, (weights,), weights.size)


def reinforce_loss(batch=512, steps=8):
    """reinforce_loss, and a loop over the steps."""
    inputs = normal(batch, steps), normal(batch), 0.5 * normal(batch, steps)

    def other(log_prob, reward, baseline):
        return -sum(
            log_prob[:, t] * ops.stop_gradient(reward - baseline[:, t])
            for t in range(steps)
        )

    return Pair(losses.reinforce_loss, other, inputs, 3 * batch * steps)


def kl_standard_normal(batch=512, width=100):
    """kl_standard_normal, and the formula with exp."""
    mean = normal(batch, width)

    def other(mean, log_std):
        variance = ops.exp(2 * log_std)
        return ops.sum(0.5 * (mean**2 + variance - 1) - log_std, axis=-1)

    ours = losses.kl_standard_normal
    return Pair(ours, other, (mean, 0.3 * mean), 7 * mean.size)


PAIRS = [
    masked_softmax,
    additive_scores,
    bilinear_scores,
    word_guided_scores,
    merge_scales,
    extract_glimpses,
    affine_grid,
    projective_grid,
    tps_grid,
    invert_affine,
    bilinear_sample,
    gaussian_filterbank,
    filterbank_read,
    filterbank_write,
    gaussian_window,
    choice_log_prob,
    attention_entropy,
    doubly_stochastic_penalty,
    reinforce_loss,
    kl_standard_normal,
]
if importlib.util.find_spec("torch"):
    PAIRS += [grid_sample, grid_sample_digits]
