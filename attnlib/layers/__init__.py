"""Custom Keras layers, one file each, thin over `attnlib.ops`."""

from attnlib.layers.bahdanau_attention import BahdanauAttention
from attnlib.layers.glimpse_sensor import GlimpseSensor

__all__ = ["BahdanauAttention", "GlimpseSensor"]
