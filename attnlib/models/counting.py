"""Numbers that a model keeps of its own training."""


def scalar(model, name):
    """Add a number to a model that it changes itself, 0 at first.

    It is a weight, so that a resumed training goes on where it stopped, and a
    float32 in every call: cast to half precision it would count to 2048 only.

    Args:
        model: A Keras model or layer.
        name: Name of the weight.

    Returns:
        A variable of shape (), which no optimiser updates.

    Example:

    >>> import keras
    >>> from attnlib.models import counting
    >>> count = counting.scalar(keras.layers.Dense(3), "calls")
    >>> _ = count.assign(count + 1)
    >>> float(count)
    1.0
    """
    return model.add_weight(
        name=name,
        shape=(),
        dtype="float32",
        initializer="zeros",
        trainable=False,
        autocast=False,
    )
