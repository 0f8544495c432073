"""The training tasks that are timed, at the sizes of their peers."""

import functools

import keras
import numpy as np
from harness import Case

from attnlib.layers import SpatialTransformer
from attnlib.models import costs
from attnlib.models.draw import DRAW
from attnlib.models.handwriting import HandwritingSynthesis
from attnlib.models.ram import RecurrentAttention
from attnlib.models.rnnsearch import RNNSearch
from attnlib.models.show_attend_tell import ShowAttendTell


def _optimizer():
    return keras.optimizers.Adam(1e-3, global_clipnorm=1.0)


def _ram(batch_size=128, glimpses=6, size=8, side=28, scales=1):
    model = RecurrentAttention(glimpses, size, scales)
    model.build((None, side, side, 1))
    model.compile(optimizer=_optimizer())
    generator = np.random.default_rng(0)
    x = generator.random((batch_size, side, side, 1), "float32")
    y = generator.integers(0, 10, batch_size).astype("int32")
    return model, (x, y)


def ram_macs(glimpses=6, size=8, scales=1, units=256, classes=10) -> int:
    """Return the multiply-adds of one image through `RecurrentAttention`."""
    half = units // 2
    look = scales * size**2 * half + 2 * half + 2 * half * units
    core = 2 * units * units
    decide = units * half + half * 2 + units  # Locator and baseline.
    return glimpses * (look + core) + (glimpses - 1) * decide + units * classes


def _ram_60():
    return _ram(size=12, side=60, scales=3)


def _bahdanau(batch_size=128, source=14, target=14):
    model = RNNSearch(
        7853, 5893, embedding_size=256, encoder_units=512, decoder_units=512
    )
    model.build()
    model.compile(optimizer=_optimizer())
    generator = np.random.default_rng(0)

    def words(size, length):
        ids = generator.integers(4, size, (batch_size, length))
        return ids.astype("int32")

    x = {"source": words(7853, source), "target": words(5893, target)}
    return model, (x, words(5893, target))


def bahdanau_macs(
    source=14, target=14, vocabulary=5893, embedding=256, units=512
) -> int:
    """Return the multiply-adds of one pair through `RNNSearch`.

    The encoder's GRUs and the decoder's have the same number of units.
    """
    memory = 2 * units
    encoder = source * 2 * 3 * units * (embedding + units)
    keys = source * memory * units + units * units  # U_a h and s_0.
    gates = 3 * units * (embedding + memory + units)
    align = units * units + source * (units + memory)
    read_out = (units + memory + embedding) * vocabulary
    return encoder + keys + target * (gates + align + read_out)


def _captioner(batch_size=32, places=196, width=2048, words=14):
    """Features given, so that only attention and decoder are timed."""
    model = ShowAttendTell(9490, 512, 512)
    model.build((None, places, width))
    model.compile(optimizer=_optimizer())
    generator = np.random.default_rng(0)
    ids = generator.integers(4, 9490, (batch_size, words)).astype("int32")
    features = generator.random((batch_size, places, width), "float32")
    return model, ({"source": features, "target": ids}, ids)


def captioner_macs(
    places=196, width=2048, words=14, vocabulary=9490, units=512
) -> int:
    """Return the multiply-adds of one caption through `ShowAttendTell`.

    LSTM, embeddings and the network that scores places have the same number
    of units.
    """
    once = places * width * units + 2 * width * units  # Keys, h_0, c_0.
    align = units * units + units + places * (units + width)
    gates = 4 * units * (units + width + units)
    read_out = units * units + width * units + units * vocabulary
    return once + words * (align + gates + read_out)


def _transformer(localization, classifier, side, batch_size):
    model = keras.Sequential(
        [
            keras.layers.Input((side, side, 1)),
            SpatialTransformer(keras.Sequential(localization)),
            *classifier,
        ]
    )
    # XLA compiles convolutions into slower code than TensorFlow's own on
    # CPUs; JAX has no other way.
    jit = "auto" if keras.config.backend() != "tensorflow" else False
    model.compile(
        _optimizer(),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit,
    )
    generator = np.random.default_rng(0)
    x = generator.random((batch_size, side, side, 1), "float32")
    y = generator.integers(0, 10, batch_size).astype("int32")
    return model, (x, y)


def _stn_60():
    """The cluttered-digit example of kevinzakka/spatial-transformer-network.

    Localisation: 20 units (tanh) on all pixels. Classifier: two 3x3
    convolutions of 16 filters in steps of 2, 1024 units.
    """
    layers = keras.layers
    return _transformer(
        [layers.Flatten(), layers.Dense(20, "tanh")],
        [
            layers.Conv2D(16, 3, 2, padding="same", activation="relu"),
            layers.Conv2D(16, 3, 2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(1024, "relu"),
            layers.Dense(10),
        ],
        side=60,
        batch_size=256,
    )


def stn_60_macs() -> int:
    """Return the multiply-adds of one image through `_stn_60`."""
    parts = [
        costs.dense(3600, 20),
        costs.dense(20, 6),
        costs.bilinear_sampler(60),
        costs.conv2d(60, 1, 16, 3, 2, "same"),
        costs.conv2d(30, 16, 16, 3, 2, "same"),
        costs.dense(15 * 15 * 16, 1024),
        costs.dense(1024, 10),
    ]
    return sum(part.macs for part in parts)


def _stn_28():
    """The network of pytorch/tutorials' spatial transformer.

    Localisation: convolutions 7x7 of 8 and 5x5 of 10 filters, each pooled,
    32 units. Classifier: 5x5 convolutions of 10 and 20 filters, each pooled,
    50 units.
    """
    layers = keras.layers

    def convolution(filters, size):
        return [
            layers.Conv2D(filters, size, activation="relu"),
            layers.MaxPooling2D(2),
        ]

    return _transformer(
        [
            *convolution(8, 7),
            *convolution(10, 5),
            layers.Flatten(),
            layers.Dense(32, "relu"),
        ],
        [
            *convolution(10, 5),
            *convolution(20, 5),
            layers.SpatialDropout2D(0.5),
            layers.Flatten(),
            layers.Dense(50, "relu"),
            layers.Dropout(0.5),
            layers.Dense(10),
        ],
        side=28,
        batch_size=64,
    )


def stn_28_macs() -> int:
    """Return the multiply-adds of one image through `_stn_28`."""
    parts = [
        costs.conv2d(28, 1, 8, 7),
        costs.conv2d(11, 8, 10, 5),
        costs.dense(3 * 3 * 10, 32),
        costs.dense(32, 6),
        costs.bilinear_sampler(28),
        costs.conv2d(28, 1, 10, 5),
        costs.conv2d(12, 10, 20, 5),
        costs.dense(4 * 4 * 20, 50),
        costs.dense(50, 10),
    ]
    return sum(part.macs for part in parts)


def _draw(num_steps, batch_size=64):
    model = DRAW(num_steps)
    model.build()
    model.compile(optimizer=_optimizer())
    generator = np.random.default_rng(0)
    x = generator.random((batch_size, 28, 28, 1)) < 0.2
    return model, (x.astype("float32"), np.zeros(batch_size, "int32"))


def draw_macs(
    steps, side=28, read=2, write=5, latent=100, units=256, channels=1
) -> int:
    """Return the multiply-adds of one image through `DRAW` with windows."""
    encoder = 4 * units * (2 * read**2 * channels + 2 * units)
    decoder = 4 * units * (latent + units)
    head = units * (10 + write**2 * channels)
    # Rows first, then columns: the image and what is left of it; the canvas.
    seen = 2 * channels * (read * side**2 + read**2 * side)
    written = channels * (write**2 * side + write * side**2)
    step = encoder + 2 * units * latent + decoder + head + seen + written
    return steps * step


def _handwriting(
    batch_size=32, points=150, length=25, characters=77, units=400
):
    model = HandwritingSynthesis(characters, units=units)
    model.build()
    model.compile(optimizer=_optimizer())
    generator = np.random.default_rng(0)
    line = generator.normal(size=(batch_size, points + 1, 3))
    line[..., 2] = line[..., 2] > 2
    line = line.astype("float32")
    text = generator.integers(1, characters + 1, (batch_size, length))
    x = {"strokes": line[:, :-1], "text": text.astype("int32")}
    return model, (x, line[:, 1:])


def handwriting_macs(
    points=150, length=25, characters=77, units=400, windows=10, mixture=121
) -> int:
    """Return the multiply-adds of one line through `HandwritingSynthesis`."""
    first = (3 + characters + units) * 4 * units
    others = 2 * (3 + characters + 2 * units) * 4 * units
    window = units * 3 * windows + length * characters
    return points * (first + others + window + 3 * units * mixture)


CASES = {
    "ram": Case(
        "RAM, batch 128, 6 glimpses of 8x8, 28x28 images",
        _ram,
        128,
        ram_macs(),
        4050.0,
        "kevinzakka/recurrent-visual-attention (PyTorch)",
        3.0,
    ),
    "ram-60": Case(
        "RAM, batch 128, 6 glimpses of 12x12, 3 scales, 60x60 images",
        _ram_60,
        128,
        ram_macs(size=12, scales=3),
        1489.0,
        "kevinzakka/recurrent-visual-attention (PyTorch)",
        3.0,
    ),
    "bahdanau": Case(
        "RNNsearch, batch 128, 14 -> 14 words, vocabularies 7853/5893",
        _bahdanau,
        128,
        bahdanau_macs(),
        47.0,
        "bentrevett/pytorch-seq2seq notebook 3 (PyTorch)",
        1.8,
    ),
    "captioner": Case(
        "Show-attend-tell, batch 32, 196 places of 2048, 14 words of 9490",
        _captioner,
        32,
        captioner_macs(),
        9.4,
        "sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning (PyTorch)",
        4.0,
    ),
    "draw_10": Case(
        "DRAW, batch 64, 10 steps, read 2x2, write 5x5, z 100, LSTM 256",
        functools.partial(_draw, 10),
        64,
        draw_macs(10),
        1027.0,
        "ericjang/draw (TensorFlow)",
        1.2,
    ),
    "draw_64": Case(
        "DRAW, batch 64, 64 steps, read 2x2, write 5x5, z 100, LSTM 256",
        functools.partial(_draw, 64),
        64,
        draw_macs(64),
        152.0,
        "ericjang/draw (TensorFlow)",
        1.4,
    ),
    "handwriting": Case(
        "Handwriting synthesis, batch 32, 150 points, 25 of 77 characters",
        _handwriting,
        32,
        handwriting_macs(),
        14.5,
        "X-rayLaser/pytorch-handwriting-synthesis-toolkit (PyTorch)",
        1.6,
    ),
    "stn-60": Case(
        "STN, batch 256, 60x60 images, layers of kevinzakka's example",
        _stn_60,
        256,
        stn_60_macs(),
        1409.0,
        "kevinzakka/spatial-transformer-network (TensorFlow)",
        1.2,
    ),
    "stn-28": Case(
        "STN, batch 64, 28x28 images, layers of PyTorch's tutorial",
        _stn_28,
        64,
        stn_28_macs(),
        2825.0,
        "pytorch/tutorials spatial_transformer_tutorial (PyTorch)",
        1.0,
    ),
}
