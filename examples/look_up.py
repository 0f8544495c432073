"""Answer a question from a list of pairs with additive attention.

The list reads "3 is 7, 5 is 1, ..." and the question is "what is 5?". Shows a
functional model, a mask that Keras passes on by itself, `fit`, a second model
that returns the attention, and saving.

    python examples/look_up.py look_up.keras
"""

import sys

import keras
import numpy as np

from attnlib.layers import BahdanauAttention

NAMES, VALUES, LONGEST = 6, 5, 6


def draw(size, seed):
    """Return `(names, values, question)`, padded with 0, and the answers."""
    generator = np.random.default_rng(seed)
    names = np.array([generator.permutation(NAMES) + 1 for _ in range(size)])
    values = generator.integers(1, VALUES + 1, (size, LONGEST))
    length = generator.integers(2, LONGEST + 1, size)
    place = generator.integers(0, length)
    rows = np.arange(size)
    question, answer = names[rows, place], values[rows, place]
    padding = np.arange(LONGEST) >= length[:, None]
    names[padding] = values[padding] = 0
    inputs = [x.astype("int32") for x in (names, values, question)]
    return inputs, (answer - 1).astype("int32")


def build():
    """Return the model, and another one that returns its attention."""
    names = keras.Input((None,), dtype="int32", name="names")
    values = keras.Input((None,), dtype="int32", name="values")
    question = keras.Input((), dtype="int32", name="question")
    # mask_zero: padding travels as the mask of the memory.
    name = keras.layers.Embedding(NAMES + 1, 16, mask_zero=True)
    value = keras.layers.Embedding(VALUES + 1, 16, mask_zero=True)
    memory = keras.layers.Concatenate()([name(names), value(values)])
    context, weights = BahdanauAttention(32)(name(question), memory)
    answer = keras.layers.Dense(VALUES, name="answer")(context)
    inputs = [names, values, question]
    return keras.Model(inputs, answer), keras.Model(inputs, weights)


def main(path):
    """Train, show what was learned, and save the model with a check."""
    keras.utils.set_random_seed(0)
    model, attention = build()
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    inputs, answers = draw(8192, seed=1)
    model.fit(inputs, answers, batch_size=128, epochs=5, verbose=0)
    inputs, answers = draw(512, seed=2)
    _, accuracy = model.evaluate(inputs, answers, verbose=0)
    print(f"accuracy {accuracy:.2f}, chance {1 / VALUES:.2f}")
    first = [x[:1] for x in inputs]
    print("names    ", *first[0][0], "  asked:", *first[2])
    print("attention", attention.predict(first, verbose=0)[0].round(2))
    model.save(path)
    inputs = [x[:8] for x in inputs]
    outputs = model.predict(inputs, verbose=0)
    np.savez(f"{path}.npz", *inputs, outputs=outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
