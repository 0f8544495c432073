"""One initializer for several weights of a layer."""


def fresh(initializer):
    """Return an initializer that draws other numbers than the given one.

    A Keras initializer without a seed picks one when it is made and returns
    the same numbers at every call: two weights of one shape would start, and
    for lack of any difference might stay, equal.

    Args:
        initializer: What `keras.initializers.get` returns.

    Returns:
        A clone with a seed of its own, where the given one has no fixed seed
        and can be cloned.
    """
    clone = getattr(initializer, "clone", None)
    return clone() if callable(clone) else initializer
