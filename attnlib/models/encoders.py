"""Encoders that were trained on something else: VGG-19, frozen."""

from pathlib import Path

import keras
from keras import ops

from attnlib.datasets import store
from attnlib.datasets.registry import DataSet, RemoteFile
from attnlib.ops import checks

# Image over annotations: four poolings come before conv5_4.
VGG19_STRIDE = 16

_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
_URL = "https://storage.googleapis.com/tensorflow/keras-applications/vgg19/"
# No data set that could be loaded, but found and checked like one.
_WEIGHTS = DataSet(
    name="vgg19",
    description="VGG-19 without its dense layers, trained on ImageNet",
    licence="CC BY 4.0",
    citation=(
        "K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for "
        "Large-Scale Image Recognition. ICLR 2015, arXiv:1409.1556"
    ),
    homepage="https://www.robots.ox.ac.uk/~vgg/research/very_deep/",
    read=dict,
    files=(
        # Keras gives no SHA-256.
        RemoteFile(
            _FILE,
            (_URL + _FILE,),
            sha256="",
            size=80134624,
            md5="253f8cb515780f3b799900260a226db6",
        ),
    ),
)


@keras.saving.register_keras_serializable(package="attnlib")
class CaffeColours(keras.layers.Layer):
    """Turn RGB in [0, 1] into what networks of Caffe were trained on.

    Blue, green, red from 0 to 255, minus ImageNet's mean of each: what
    `keras.applications.vgg19.preprocess_input` does to bytes.

    Args:
        **kwargs: Of `keras.layers.Layer`.

    Example:

    >>> import numpy as np
    >>> from attnlib.models.encoders import CaffeColours
    >>> red = np.array([1, 0, 0], "float32").reshape(1, 1, 1, 3)
    >>> [round(float(value), 2) for value in CaffeColours()(red)[0, 0, 0]]
    [-103.94, -116.78, 131.32]
    """

    mean = (103.939, 116.779, 123.68)

    def call(self, images):
        mean = ops.convert_to_tensor(self.mean, self.compute_dtype)
        return 255 * ops.flip(images, axis=-1) - mean

    def compute_output_shape(self, images_shape):
        return images_shape


def vgg19(side=224, weights="imagenet") -> keras.Model:
    """Return VGG-19 up to conv5_4, before pooling, frozen.

    The annotations of Show, Attend and Tell: images of 224 pixels give
    14 x 14 places of width 512.

    Args:
        side: Height and width of the images, a multiple of 16, at least 32.
        weights: `"imagenet"`: from `$ATTNLIB_DATA/vgg19/`, the cache, or a
            download; the path of a file of weights without the dense layers,
            as Keras saves them; or None for random ones.

    Returns:
        A Keras model from images (B, side, side, 3), RGB in [0, 1] as the
        trained encoder of `captions` gets them, to (B, side / 16, side / 16,
        512). The colours are turned and centred inside; no weight trains.

    Raises:
        ValueError: The side does not fit, or there is no such file.
        OSError: The weights of ImageNet are not on this machine and cannot be
            downloaded.

    Reference:
        Simonyan and Zisserman 2015, arXiv:1409.1556, table 1, column E; Xu et
        al. 2015, arXiv:1502.03044, section 4.3.
    """
    side = checks.positive_integer("side", side)
    if side < 32 or side % VGG19_STRIDE:
        raise ValueError(
            f"expected side as a multiple of {VGG19_STRIDE} of at least 32 "
            f"for VGG-19. Received: {side}"
        )
    whole = keras.applications.VGG19(
        include_top=False,
        weights=_weights_file(weights),
        input_shape=(side, side, 3),
    )
    features = keras.Model(
        whole.inputs, whole.get_layer("block5_conv4").output, name="vgg19"
    )
    encoder = keras.Sequential(
        [keras.Input((side, side, 3)), CaffeColours(), features],
        name="encoder",
    )
    encoder.trainable = False
    return encoder


def _weights_file(weights):
    """Return the path of the weights, None for random ones."""
    if weights is None:
        return None
    if weights != "imagenet":
        if not Path(weights).is_file():
            raise ValueError(
                "expected weights to be 'imagenet', None or the path of a "
                f"file. Received: {str(weights)!r}, which is no file"
            )
        return str(weights)
    try:
        return str(store.locate(_WEIGHTS, _FILE))
    except store.DatasetUnavailable as error:
        looked = store.cache_folder(_WEIGHTS)
        raise OSError(
            f"expected the weights of VGG-19 (80 MB) in {looked} or in the "
            "folder 'vgg19' of ATTNLIB_DATA. Received: no such file, and none "
            f"could be downloaded. Put {_URL}{_FILE} there, or use the "
            "encoder that is trained with the rest: encoder='joint', the "
            "profile without the setting 'vgg19'"
        ) from error
