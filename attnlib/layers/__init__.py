"""Custom Keras layers, one file each, thin over `attnlib.ops`."""

from attnlib.layers.bahdanau_attention import BahdanauAttention
from attnlib.layers.gaussian_window import GaussianWindow
from attnlib.layers.glimpse_sensor import GlimpseSensor
from attnlib.layers.location_policy import LocationPolicy

__all__ = [
    "BahdanauAttention",
    "GaussianWindow",
    "GlimpseSensor",
    "LocationPolicy",
]
