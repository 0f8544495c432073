"""Load a saved model in a new process, on any backend, and check it.

`import attnlib` is all that Keras needs to know the layers. The other examples
save a few inputs and outputs beside the model; here they must come out again.

    KERAS_BACKEND=jax python examples/load_anywhere.py look_up.keras
"""

import sys

import keras
import numpy as np

import attnlib


def main(path):
    """Return the exit status: 0 when the outputs are the saved ones."""
    model = keras.saving.load_model(path)
    with np.load(f"{path}.npz") as saved:
        inputs = [saved[name] for name in saved.files if name != "outputs"]
        expected = saved["outputs"]
    found = model.predict(inputs, verbose=0)
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"{attnlib.backend()}: largest relative difference {difference:.1e}")
    return 0 if difference < 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
