"""Layers, each with its obvious alternative.

Every function returns a `Pair` at the sizes of its arguments; the tests call
it with small ones. Weights are arguments beside the inputs, or compilers would
fold them as constants, and get gradients, too.
"""

import keras
import numpy as np
from comparison import Pair
from inputs import additive, generator, looped, normal, products
from keras import ops

import attnlib
from attnlib import layers


def _pure(layer, *shapes):
    """Return a built layer as a function of inputs and weights, and those."""
    layer.build(*shapes)
    weights = [np.array(w, "float32") for w in layer.get_weights()]

    def call(*tensors, **options):
        inputs, values = tensors[: len(shapes)], tensors[len(shapes) :]
        states = [v.value for v in layer.non_trainable_variables]
        outputs, _ = layer.stateless_call(
            list(values), states, *inputs, **options
        )
        return outputs[0] if isinstance(outputs, (list, tuple)) else outputs

    return call, weights


def _keras_attention(units=None):
    """Return Keras' attention as a function of query, memory and keys.

    Additive with a score vector of `units` as the last argument; else dot.
    """
    if units is None:
        layer = keras.layers.Attention()
    else:
        layer = keras.layers.AdditiveAttention(use_scale=True)
    layer.build([(None, None, units)] * 3)

    def attend(query, memory, keys, *v):
        return layer.stateless_call(list(v), [], [query, memory, keys])[0]

    return attend


def bahdanau_attention(batch=64, steps=14, source=40, width=256, units=256):
    """BahdanauAttention, and two products and Keras' AdditiveAttention."""
    shapes = (batch, steps, width), (batch, source, width)
    call, weights = _pure(layers.BahdanauAttention(units), *shapes)
    attend = _keras_attention(units)

    def other(query, memory, w_a, u_a, v_a):
        query, keys = ops.matmul(query, w_a), ops.matmul(memory, u_a)
        return attend(query, memory, keys, v_a)

    operations = products(batch, steps + source, width, units)
    operations += batch * additive(steps, source, units)
    operations += batch * steps * source * (5 + 2 * width)
    inputs = normal(*shapes[0]), normal(*shapes[1]), *weights
    return Pair(call, other, inputs, operations)


def _soft(layer, batch, places, width, units):
    """Return a layer over places as a function, its inputs and operations."""
    shapes = (batch, width), (batch, places, width)
    call, weights = _pure(layer, *shapes)
    operations = products(batch, places + 1, width, units)
    operations += batch * additive(1, places, units)
    operations += batch * places * (5 + 2 * width)
    inputs = normal(*shapes[0]), normal(*shapes[1]), *weights
    return call, inputs, operations


def soft_attention(batch=64, places=196, width=256, units=256):
    """SoftAttention, and three products and Keras' AdditiveAttention."""
    layer = layers.SoftAttention(units)
    call, inputs, operations = _soft(layer, batch, places, width, units)
    attend = _keras_attention(units)

    def other(state, annotations, w_h, w_a, b_a, v_a, w_beta, b_beta):
        keys = ops.matmul(annotations, w_a) + b_a
        query = ops.matmul(state, w_h)[:, None]
        context = attend(query, annotations, keys, v_a)[:, 0]
        return ops.sigmoid(ops.matmul(state, w_beta) + b_beta) * context

    return Pair(call, other, inputs, operations)


def hard_attention(batch=64, places=196, width=256, units=256):
    """HardAttention, and the place of the largest score taken by index."""
    layer = layers.HardAttention(units, seed=0)
    found, inputs, operations = _soft(layer, batch, places, width, units)
    noise = generator().gumbel(size=(batch, places)).astype("float32")

    def call(*tensors):
        return found(*tensors, noise=ops.convert_to_tensor(noise))

    def other(state, annotations, w_h, w_a, b_a, v_a, w_beta, b_beta):
        keys = ops.matmul(annotations, w_a) + b_a
        query = ops.matmul(state, w_h)[:, None]
        scores = ops.sum(v_a * ops.tanh(query + keys), axis=-1)
        place = ops.argmax(scores + noise, axis=-1)[:, None, None]
        context = ops.take_along_axis(annotations, place, axis=1)[:, 0]
        return ops.sigmoid(ops.matmul(state, w_beta) + b_beta) * context

    return Pair(call, other, inputs, operations)


def projected_once(batch=64, steps=10, places=196, width=256, units=256):
    """Keys projected once per sequence, and the same at every step."""
    layer = layers.SoftAttention(units, gated=False)
    call, inputs, operations = _soft(layer, batch, places, width, units)
    state, annotations, *weights = inputs

    def ours(state, annotations, w_h, w_a, b_a, v_a):
        keys = ops.matmul(annotations, w_a) + b_a  # `project`
        return run(state, annotations, w_h, w_a, b_a, v_a, keys=keys)

    def run(state, annotations, *weights, **options):
        # A recurrence, since compilers would merge products side by side.
        def step(state, _):
            context = call(state, annotations, *weights, **options)
            return context, context

        return ops.scan(step, state, length=steps)[0]

    once = products(batch, places, width, units)
    operations = once + steps * (operations - once)
    return Pair(ours, run, (state, annotations, *weights), operations)


def stacked_attention(batch=64, places=196, width=256, units=256, hops=2):
    """StackedAttention, and a Keras AdditiveAttention per hop."""
    shapes = (batch, width), (batch, places, width)
    call, weights = _pure(layers.StackedAttention(units, hops), *shapes)
    attend = _keras_attention(units)

    def other(question, annotations, w_i, b_i, *each):
        found = ops.tanh(ops.matmul(annotations, w_i) + b_i)
        query = question[:, None]
        for hop in range(hops):
            w_ia, w_qa, b_a, w_p = each[4 * hop : 4 * hop + 4]
            keys = ops.matmul(found, w_ia)
            asked = ops.matmul(query, w_qa) + b_a
            query = query + attend(asked, found, keys, w_p)
        return query[:, 0]

    operations = products(batch, places, width, width + hops * units)
    operations += hops * batch * additive(1, places, units)
    operations += hops * batch * places * (5 + 2 * width)
    inputs = normal(*shapes[0]), normal(*shapes[1]), *weights
    return Pair(call, other, inputs, operations)


def hops_projected_once(batch=64, places=196, width=256, units=256, hops=2):
    """Places projected once for all hops, and the same before every hop."""
    shapes = (batch, width), (batch, places, width)
    call, weights = _pure(layers.StackedAttention(units, hops), *shapes)
    one, _ = _pure(layers.StackedAttention(units, 1), *shapes)

    def other(question, annotations, w_i, b_i, *each):
        for hop in range(hops):
            of_hop = each[4 * hop : 4 * hop + 4]
            question = one(question, annotations, w_i, b_i, *of_hop)
        return question

    operations = products(batch, places, width, width + hops * units)
    operations += hops * batch * additive(1, places, units)
    operations += hops * batch * places * (5 + 2 * width)
    inputs = normal(*shapes[0]), normal(*shapes[1]), *weights
    return Pair(call, other, inputs, operations)


def word_region_attention(batch=32, words=12, places=196, width=128):
    """WordRegionAttention, and one example after another."""
    shapes = (batch, words, width), (batch, places, width)
    call, weights = _pure(layers.WordRegionAttention(), *shapes)

    def other(words, annotations, *weights):
        return looped(lambda *pair: call(*pair, *weights))(words, annotations)

    operations = products(batch, places, width, 3 * width)
    operations += products(batch, places, width, words + 3)
    inputs = 0.1 * normal(*shapes[0]), normal(*shapes[1]), *weights
    return Pair(call, other, inputs, operations)


def scale_attention(batch=4, scales=3, side=32, classes=21, width=32):
    """ScaleAttention, and a loop over the scales."""
    shapes = (batch, scales, side, side, classes), (batch, side, side, width)
    call, weights = _pure(layers.ScaleAttention(width), *shapes)

    def other(maps, features, kernel, bias, scorer, shift):
        hidden = ops.relu(ops.conv(features, kernel, padding="same") + bias)
        powers = ops.exp(ops.conv(hidden, scorer, padding="same") + shift)
        total = ops.sum(powers, axis=-1, keepdims=True)
        return sum(
            maps[:, k] * (powers[..., k, None] / total) for k in range(scales)
        )

    pixels = batch * side**2
    operations = products(pixels, width, 9 * width + scales)
    operations += 2 * pixels * scales * classes
    inputs = normal(*shapes[0]), normal(*shapes[1]), *weights
    return Pair(call, other, inputs, operations)


def _attributes(layer, batch, attributes, width, other):
    shapes = (batch, width), (batch, attributes, width)
    call, weights = _pure(layer, *shapes)
    operations = products(batch, width, width + layer.units)
    operations += products(batch, attributes, width, 2)
    inputs = normal(*shapes[0]), 0.1 * normal(*shapes[1]), *weights
    return Pair(call, other, inputs, operations)


def input_attention(batch=64, attributes=20, width=256, units=256):
    """InputAttention, and two products and Keras' Attention."""
    attend = _keras_attention()

    def other(query, values, kernel, scale, output):
        asked = ops.matmul(query[:, None], kernel)
        mixture = attend(asked, values, values)[:, 0]
        return ops.matmul(query + scale * mixture, output)

    layer = layers.InputAttention(units)
    return _attributes(layer, batch, attributes, width, other)


def output_attention(batch=64, attributes=20, width=256, units=256):
    """OutputAttention, and two products and Keras' Attention."""
    attend = _keras_attention()

    def other(query, values, kernel, scale, output):
        asked, values = ops.matmul(query[:, None], kernel), ops.tanh(values)
        mixture = attend(asked, values, values)[:, 0]
        return ops.matmul(query + scale * mixture, output)

    layer = layers.OutputAttention(units)
    return _attributes(layer, batch, attributes, width, other)


def glimpse_sensor(batch=32, side=100, size=12, scales=3):
    """GlimpseSensor, and one example after another."""
    call, _ = _pure(
        layers.GlimpseSensor(size, scales), (batch, side, side, 1), (batch, 2)
    )
    locations = generator().uniform(-1, 1, (batch, 2)).astype("float32")
    pixels = batch * sum((size * 2**k) ** 2 for k in range(scales))
    images = normal(batch, side, side, 1)
    read = 4 * pixels + locations.nbytes
    return Pair(call, looped(call), (images, locations), pixels, read)


def _dense_filters(params, size, side):
    """Return one filter per point of a window, (B, N N, H W), and gamma."""
    f_x, f_y, gamma = attnlib.ops.gaussian_filterbank(params, size, side, side)
    dense = f_y[:, :, None, :, None] * f_x[:, None, :, None, :]
    dense = ops.reshape(dense, (-1, size * size, side * side))
    return dense, gamma[:, None, None]


def read_attention(batch=16, side=60, size=8, width=256):
    """ReadAttention, and a product with the filters of both axes."""
    shapes = (batch, side, side, 1), (batch, width)
    call, weights = _pure(layers.ReadAttention(size), *shapes)

    def other(images, state, kernel, bias):
        params = ops.matmul(state, kernel) + bias
        dense, gamma = _dense_filters(params, size, side)
        flat = ops.reshape(images, (batch, side * side, 1))
        patch = gamma * ops.matmul(dense, flat)
        return ops.reshape(patch, (batch, size, size, 1))

    operations = products(batch, size, side, side + size)
    operations += products(batch, width, 5) + 14 * batch * size * side
    inputs = normal(*shapes[0]), 0.3 * normal(*shapes[1]), *weights
    return Pair(call, other, inputs, operations)


def write_attention(batch=16, side=60, size=8, width=256):
    """WriteAttention, and a product with the filters of both axes."""
    shape = (batch, width)
    layer = layers.WriteAttention(size, (side, side, 1))
    call, weights = _pure(layer, shape)

    def other(state, kernel, bias, patch_kernel, patch_bias):
        params = ops.matmul(state, kernel) + bias
        dense, gamma = _dense_filters(params, size, side)
        patch = (ops.matmul(state, patch_kernel) + patch_bias)[:, None]
        images = ops.matmul(patch, dense) / gamma
        return ops.reshape(images, (batch, side, side, 1))

    operations = products(batch, size, side, side + size)
    operations += products(batch, width, 5 + size**2)
    operations += 14 * batch * size * side
    return Pair(call, other, (0.3 * normal(*shape), *weights), operations)


def spatial_transformer(batch=32, side=60, width=32):
    """SpatialTransformer, and one example after another."""
    localization = keras.Sequential(
        [keras.layers.Flatten(), keras.layers.Dense(width, "tanh")]
    )
    shape = (batch, side, side, 1)
    call, weights = _pure(layers.SpatialTransformer(localization), shape)
    weights = [w + 0.01 * normal(*w.shape) for w in weights]

    def other(images, *weights):
        return looped(lambda image: call(image, *weights))(images)

    operations = products(batch, width, side**2 + 6)
    operations += batch * side**2 * (8 + 27)
    return Pair(call, other, (normal(*shape), *weights), operations)


def spatial_crop(batch=32, side=100, size=24, width=64):
    """SpatialCrop, and one example after another."""
    shapes = (batch, side, side, 1), (batch, width)
    layer = layers.SpatialCrop((size, size), initial_scale=0.5)
    call, weights = _pure(layer, *shapes)
    weights = [w + 0.01 * normal(*w.shape) for w in weights]

    def other(images, state, *weights):
        return looped(lambda *pair: call(*pair, *weights))(images, state)

    operations = products(batch, width, 3) + batch * size**2 * (8 + 27)
    # Four pixels of each point.
    read = batch * (4 * size**2 + width) * 4 + sum(w.nbytes for w in weights)
    inputs = normal(*shapes[0]), normal(*shapes[1]), *weights
    return Pair(call, other, inputs, operations, read)


def spatial_paste(batch=32, side=60, size=24):
    """SpatialPaste, and one example after another."""
    shapes = (batch, size, size, 1), (batch, 2, 3)
    call, _ = _pure(layers.SpatialPaste((side, side)), *shapes)
    theta = 0.5 * np.eye(2, 3, dtype="float32") + 0.05 * normal(*shapes[1])
    operations = batch * (23 + side**2 * (8 + 27))
    return Pair(call, looped(call), (normal(*shapes[0]), theta), operations)


def gaussian_window_layer(batch=64, components=10, length=60, width=256):
    """GaussianWindow, and a loop over the positions of the text."""
    shapes = (batch, width), (batch, components), (batch, length, 32)
    call, weights = _pure(layers.GaussianWindow(components), *shapes)

    def other(state, kappa, text, kernel, bias):
        found = ops.exp(ops.matmul(state, kernel) + bias)
        alpha, beta, step = ops.split(found, 3, axis=-1)
        kappa = kappa + step
        return sum(
            text[:, u - 1]
            * ops.sum(
                alpha * ops.exp(-beta * ops.square(kappa - u)),
                axis=1,
                keepdims=True,
            )
            for u in range(1, length + 1)
        )

    kappa = generator().uniform(0, length / 2, shapes[1]).astype("float32")
    inputs = 0.3 * normal(*shapes[0]), kappa, normal(*shapes[2]), *weights
    operations = products(batch, width, 3 * components)
    operations += batch * length * (6 * components + 2 * 32)
    return Pair(call, other, inputs, operations)


PAIRS = [
    bahdanau_attention,
    projected_once,
    soft_attention,
    hard_attention,
    stacked_attention,
    hops_projected_once,
    word_region_attention,
    scale_attention,
    input_attention,
    output_attention,
    glimpse_sensor,
    read_attention,
    write_attention,
    spatial_transformer,
    spatial_crop,
    spatial_paste,
    gaussian_window_layer,
]
