"""Custom Keras layers, one file each, thin over `attnlib.ops`."""

from attnlib.layers.bahdanau_attention import BahdanauAttention
from attnlib.layers.gaussian_window import GaussianWindow
from attnlib.layers.glimpse_sensor import GlimpseSensor
from attnlib.layers.hard_attention import HardAttention
from attnlib.layers.input_attention import InputAttention
from attnlib.layers.location_policy import LocationPolicy
from attnlib.layers.output_attention import OutputAttention
from attnlib.layers.read_attention import ReadAttention
from attnlib.layers.scale_attention import ScaleAttention
from attnlib.layers.soft_attention import SoftAttention
from attnlib.layers.spatial_crop import SpatialCrop
from attnlib.layers.spatial_paste import SpatialPaste
from attnlib.layers.spatial_transformer import SpatialTransformer
from attnlib.layers.stacked_attention import StackedAttention
from attnlib.layers.word_region_attention import WordRegionAttention
from attnlib.layers.write_attention import WriteAttention

__all__ = [
    "BahdanauAttention",
    "GaussianWindow",
    "GlimpseSensor",
    "HardAttention",
    "InputAttention",
    "LocationPolicy",
    "OutputAttention",
    "ReadAttention",
    "ScaleAttention",
    "SoftAttention",
    "SpatialCrop",
    "SpatialPaste",
    "SpatialTransformer",
    "StackedAttention",
    "WordRegionAttention",
    "WriteAttention",
]
