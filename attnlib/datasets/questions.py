"""What data sets of questions about images share."""

import hashlib
import re


def held_out(name, tenth=0) -> bool:
    """Return whether an image of the training set is kept for validation.

    Args:
        name: What the image is called; the answer is the same for ever.
        tenth: Which tenth is kept, 0 to 9.
    """
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10 == tenth


def words(question) -> str:
    """Return a question in lower case, words and numbers alone.

    Args:
        question: Any text.

    Example:
        >>> words("What's the  colour, left of the TV?")
        "what's the colour left of the tv"
    """
    return " ".join(re.findall(r"[a-z0-9_']+", question.lower()))
