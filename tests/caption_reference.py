"""Equations of captioning models in float64, and data for their tests."""

import numpy as np

from attnlib.text import END, START

WORDS, PLACES, WIDTH = 8, 3, 4


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(w, name, inputs):
    return inputs @ w[f"{name}/kernel"] + w.get(f"{name}/bias", 0.0)


def short(w):
    """Return weights under their paths without the model's name."""
    return {path.split("/", 1)[1]: value for path, value in w.items()}


def lstm(w, state, inputs):
    """One step; `inputs` is the sum of all that enters the gates."""
    h, c = state
    gates = inputs + h @ w["decoder/recurrent_kernel"]
    enter, keep, new, leave = np.split(gates, 4)
    c = sigmoid(keep) * c + sigmoid(enter) * np.tanh(new)
    return sigmoid(leave) * np.tanh(c), c


def log_softmax(logits):
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def batch(seed=0):
    random = np.random.default_rng(seed)
    source = random.normal(size=(2, PLACES, WIDTH)).astype("float32")
    target = np.array([[START, 4, 5], [START, 6, 0]])
    following = np.array([[4, 5, END], [6, END, 0]])
    return {"source": source, "target": target}, following


def nll(logits, following):
    """Nats of the words of one caption that are no padding."""
    logs = log_softmax(logits)
    return -sum(logs[t, word] for t, word in enumerate(following) if word)
