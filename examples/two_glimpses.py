"""Name a digit from two glimpses at places that are given.

Shows layers of attnlib beside those of Keras in a functional model, one of
them used twice, `fit` on an embedded data set, and saving.

    python examples/two_glimpses.py two_glimpses.keras
"""

import sys

import keras
import numpy as np

from attnlib import datasets
from attnlib.layers import GlimpseSensor


def load(split, size):
    """Return images in [0, 1], two random places each, and labels."""
    data = datasets.load("digits28", split)
    images = data["images"][:size].astype("float32") / 255
    generator = np.random.default_rng(len(images))
    places = generator.uniform(-0.5, 0.5, (len(images), 2, 2))
    first, second = places.astype("float32").swapaxes(0, 1)
    return [images, first, second], data["label"][:size]


def build():
    """Return a classifier of images by two glimpses of two scales."""
    images = keras.Input((28, 28, 1), name="images")
    places = [keras.Input((2,), name=f"place_{k}") for k in (1, 2)]
    sensor = GlimpseSensor(8, scales=2)  # 8x8 and 16x16 pixels
    what = keras.layers.Dense(64, name="what")
    where = keras.layers.Dense(64, name="where")
    seen = []
    for place in places:
        glimpse = keras.layers.Flatten()(sensor(images, place))
        both = keras.layers.Add()([what(glimpse), where(place)])
        seen.append(keras.layers.ReLU()(both))
    hidden = keras.layers.Dense(64, "relu")(keras.layers.Concatenate()(seen))
    return keras.Model([images, *places], keras.layers.Dense(10)(hidden))


def main(path):
    """Train, show what was learned, and save the model with a check."""
    keras.utils.set_random_seed(0)
    model = build()
    model.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    inputs, labels = load("train", 1000)
    model.fit(inputs, labels, batch_size=100, epochs=12, verbose=0)
    inputs, labels = load("test", 200)
    _, accuracy = model.evaluate(inputs, labels, verbose=0)
    print(f"accuracy {accuracy:.2f}, chance 0.10")
    model.save(path)
    inputs = [x[:8] for x in inputs]
    outputs = model.predict(inputs, verbose=0)
    np.savez(f"{path}.npz", *inputs, outputs=outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
