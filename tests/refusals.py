"""What every model that checks arrays is asked to refuse, everywhere."""

import keras
import numpy as np
import pytest
from numerics import to_numpy


def weights_of(model):
    return [np.array(to_numpy(v.value)) for v in model.variables]


def check_refusals(model, x, y, wrong):
    """Check that a model refuses bad arrays, and is left as it was.

    Args:
        model: A compiled model.
        x: Inputs that it reads.
        y: Targets that it takes.
        wrong: List of `(x, y, message)` that it does not.
    """
    before = weights_of(model)
    for bad_x, bad_y, message in wrong:
        uses = [
            lambda x=bad_x, y=bad_y: model.fit(x, y, verbose=0),
            lambda x=bad_x, y=bad_y: model.evaluate(x, y, verbose=0),
            lambda x=bad_x, y=bad_y: model.train_on_batch(x, y),
            lambda x=bad_x, y=bad_y: model.test_on_batch(x, y),
            lambda held=(bad_x, bad_y): model.fit(
                x, y, validation_data=held, verbose=0
            ),
        ]
        if bad_x is not x:
            uses += [
                lambda x=bad_x: model(x),
                lambda x=bad_x: model.predict(x, verbose=0),
                lambda x=bad_x: model.predict_on_batch(x),
            ]
        for use in uses:
            with pytest.raises(ValueError, match=message):
                use()
    for value, old in zip(weights_of(model), before, strict=True):
        np.testing.assert_array_equal(value, old)


def check_that_it_works(model, x, y):
    """Check that a model predicts and learns, as after a refusal it must."""
    called = to_numpy(model(x))
    found = model.predict(x, verbose=0)
    keras.tree.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), called, found
    )
    history = model.fit(x, y, verbose=0).history
    assert np.isfinite(history["loss"]).all()
