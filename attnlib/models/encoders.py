"""Encoders of images: VGG-19 and VGG-16, and how models hold theirs."""

from pathlib import Path

import keras
from keras import ops

from attnlib.datasets import store
from attnlib.datasets.registry import DataSet, RemoteFile
from attnlib.ops import checks

# Convolutions of each block, and their width.
_VGG16 = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))

# Image over annotations: four poolings come before conv5_4.
VGG19_STRIDE = 16

_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"


def _published(depth, size, md5):
    """Describe weights of ImageNet: found and checked like a data set."""
    name = f"vgg{depth}"
    file = f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return DataSet(
        name=name,
        description=f"VGG-{depth} without its dense layers, of ImageNet",
        licence="CC BY 4.0",
        citation=(
            "K. Simonyan, A. Zisserman: Very Deep Convolutional Networks for "
            "Large-Scale Image Recognition. ICLR 2015, arXiv:1409.1556"
        ),
        homepage="https://www.robots.ox.ac.uk/~vgg/research/very_deep/",
        read=dict,
        # Keras gives no SHA-256.
        files=(RemoteFile(file, (f"{_URL}{name}/{file}",), "", size, md5),),
    )


_WEIGHTS = {
    16: _published(16, 58889256, "6d6bbae143d832006294945121d1f1fc"),
    19: _published(19, 80134624, "253f8cb515780f3b799900260a226db6"),
}
# What to do without the weights.
_INSTEAD = {
    16: "network that learns from nothing: network='small', a setting that "
    "does not begin with 'voc'",
    19: "encoder that is trained with the rest: encoder='joint', the profile "
    "without the setting 'vgg19'",
}


def checked(encoder):
    """Return a model's encoder, or None where it reads features.

    Args:
        encoder: What the model was given.

    Raises:
        ValueError: It is neither a Keras model nor None.
    """
    if encoder is not None and not isinstance(encoder, keras.layers.Layer):
        raise ValueError(
            "expected encoder to be a Keras model or None. Received: "
            f"{type(encoder).__name__}"
        )
    return encoder


def features_shape(encoder, shape, *ranks) -> tuple:
    """Build an encoder, and return the shape of the features it gives.

    Args:
        encoder: A Keras model, or None.
        shape: Shape of the images, or of the features without an encoder.
        *ranks: Ranks that features may have.

    Raises:
        ValueError: Features have another rank, or a size but the batch's that
            is not known.
    """
    if encoder is not None:
        if not encoder.built:
            encoder.build(shape)
        shape = encoder.compute_output_shape(shape)
    checks.shape_rank("features", shape, *ranks)
    if None in shape[1:]:
        raise ValueError(
            "expected features of a known grid and width. Received: shape "
            f"{tuple(shape)}"
        )
    return tuple(shape)


def serialized(encoder):
    """Return an encoder as a model's config holds it.

    Args:
        encoder: A Keras model, or None.
    """
    if encoder is None:
        return None
    return keras.saving.serialize_keras_object(encoder)


def with_encoder(config) -> dict:
    """Return a model's config with the encoder itself.

    Args:
        config: Of `get_config`, with `encoder` as `serialized` returned it.
    """
    encoder = config.get("encoder")
    if isinstance(encoder, dict):
        encoder = keras.saving.deserialize_keras_object(encoder)
    return {**config, "encoder": encoder}


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
        weights=_weights_file(weights, 19),
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


def _weights_file(weights, depth):
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
    published = _WEIGHTS[depth]
    (file,) = published.files
    try:
        return str(store.locate(published, file.name))
    except store.DatasetUnavailable as error:
        looked = store.cache_folder(published)
        size = round(file.size / 1e6)
        raise OSError(
            f"expected the weights of VGG-{depth} ({size} MB) in {looked} or "
            f"in the folder '{published.name}' of ATTNLIB_DATA. Received: no "
            "such file, and none could be downloaded. Put "
            f"{file.urls[0]} there, or use the {_INSTEAD[depth]}"
        ) from error


def large_fov(weights="imagenet", units=1024) -> keras.Model:
    """Return VGG-16 as DeepLab-LargeFOV has it: 8 pixels from cell to cell.

    1. VGG-16's convolutions 1_1 to 4_3; poolings 4 and 5 keep the grid
    2. conv 5_1 to 5_3 with taps 2 apart
    3. fc6: 3x3 to `units`, taps 12 apart, ReLU, dropout 0.5
    4. fc7: 1x1 to `units`, ReLU, dropout 0.5

    Args:
        weights: Of VGG-16 for the convolutions, as of `vgg19` (folder
            `vgg16`); fc6 and fc7 are new either way.
        units: Width of fc6 and fc7.

    Returns:
        A Keras model from images (B, H, W, 3), RGB in [0, 1], to features (B,
        H / 8, W / 8, units), sizes rounded up. All of it trains.

    Raises:
        ValueError: There is no such file.
        OSError: The weights of ImageNet are not on this machine and cannot be
            downloaded.

    Reference:
        Chen et al. 2015, arXiv:1412.7062, section 3.1, and 2016,
        arXiv:1511.03339, section 4.
    """
    layers = [keras.Input((None, None, 3)), CaffeColours()]
    for block, (count, width) in enumerate(_VGG16, start=1):
        for n in range(1, count + 1):
            layers.append(
                _convolution(
                    width,
                    3,
                    2 if block == len(_VGG16) else 1,
                    f"block{block}_conv{n}",
                )
            )
        stride = 2 if block < 4 else 1
        layers.append(
            keras.layers.MaxPooling2D(
                3, stride, padding="same", data_format="channels_last"
            )
        )
    for name, size, rate in (("fc6", 3, 12), ("fc7", 1, 1)):
        layers.append(_convolution(units, size, rate, name))
        layers.append(keras.layers.Dropout(0.5))
    network = keras.Sequential(layers, name="network")
    if (file := _weights_file(weights, 16)) is not None:
        whole = keras.applications.VGG16(
            include_top=False, weights=file, input_shape=(32, 32, 3)
        )
        for block, (count, _) in enumerate(_VGG16, start=1):
            for n in range(1, count + 1):
                name = f"block{block}_conv{n}"
                trained = whole.get_layer(name).get_weights()
                network.get_layer(name).set_weights(trained)
    return network


def _convolution(width, size, rate, name):
    return keras.layers.Conv2D(
        width,
        size,
        dilation_rate=rate,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
        data_format="channels_last",
        name=name,
    )
