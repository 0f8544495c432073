"""The counts agree with real Keras models, layer by layer, and with paper."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlib.models import baselines, costs

RAM_LAYERS = (  # name, inputs, units; the paper's network
    ("what_hidden", None, 128),
    ("where_hidden", 2, 128),
    ("what", 128, 256),
    ("where", 128, 256),
    ("input_projection", 256, 256),
    ("recurrent", 256, 256),
    ("locator", 256, 2),
)


def walk_macs(model, side):
    """Count multiply-adds from the weights and output shapes of a model."""
    total, shape = 0, (1, side, side, 1)
    for layer in model.layers:
        shape = layer.compute_output_shape(shape)
        if isinstance(layer, keras.layers.Conv2D):
            total += shape[1] * shape[2] * int(np.prod(layer.kernel.shape))
        elif isinstance(layer, keras.layers.Dense):
            total += int(np.prod(layer.kernel.shape))
    return total


def walk_activations(model, side):
    shape, total = (1, side, side, 1), 0
    for layer in model.layers:
        shape = layer.compute_output_shape(shape)
        if not isinstance(layer, keras.layers.Flatten):  # a view, no copy
            total += int(np.prod(shape))
    return total


@pytest.mark.parametrize("side", [10, 28, 60, 61, 64, 100])
def test_small_conv_net_is_the_real_one(side):
    model = baselines.small_conv_net(side)
    cost = costs.small_conv_net(side)
    assert cost.params == model.count_params()
    assert cost.macs == walk_macs(model, side)
    assert cost.activations == walk_activations(model, side)
    assert cost.pixels_read == side**2


@pytest.mark.parametrize("side", [8, 28, 61, 100])
def test_pooling_cnn_is_the_real_one(side):
    model = baselines.pooling_cnn()
    cost = costs.pooling_cnn(side)
    assert cost.params == model.count_params()
    assert cost.macs == walk_macs(model, side)
    assert cost.activations == walk_activations(model, side)


def test_crop_classifier_is_the_real_one():
    model = baselines.CropClassifier()
    assert model(np.zeros((2, 64, 64, 1), "float32")).shape == (2, 10)
    cost = costs.stn_crop(64)
    assert cost.params == model.count_params()
    sampler = 28 * 28 * (6 + 4)
    assert cost.macs == (
        walk_macs(model.localization, 32)
        + walk_macs(model.classifier, 28)
        + sampler
    )
    grid, crop = 28 * 28 * 2, 28 * 28
    assert cost.activations == (
        32 * 32
        + walk_activations(model.localization, 32)
        + grid
        + crop
        + walk_activations(model.classifier, 28)
    )


@pytest.mark.parametrize("scales", [1, 3, 4])
def test_ram_is_the_real_one(scales):
    glimpses = 8
    layers = {}
    for name, inputs, units in RAM_LAYERS:
        layers[name] = keras.layers.Dense(units)
        layers[name].build((None, inputs or scales * 12 * 12))
    classifier = keras.layers.Dense(10)
    classifier.build((None, 256))
    cost = costs.ram(100, scales=scales, num_glimpses=glimpses)
    assert cost.params == sum(
        layer.count_params() for layer in [*layers.values(), classifier]
    )
    per_glimpse = sum(int(np.prod(x.kernel.shape)) for x in layers.values())
    assert cost.macs == glimpses * per_glimpse + 256 * 10


def test_ram_parameters_are_those_of_our_model_without_its_extras():
    from attnlib.models.ram import RecurrentAttention

    model = RecurrentAttention(num_glimpses=8, glimpse_size=12, scales=3)
    model.build((None, 60, 60, 1))
    extras = {"locator_hidden", "locator", "baseline"}
    ours = sum(
        layer.count_params()
        for layer in model.layers
        if isinstance(layer, keras.layers.Dense) and layer.name not in extras
    )
    assert costs.ram(60).params == ours + 256 * 2 + 2  # a linear locator


@pytest.mark.parametrize("scales, expected", [(3, 252672), (4, 271104)])
def test_ram_multiply_adds_of_a_glimpse_follow_the_formula(scales, expected):
    one = costs.ram(60, scales=scales, num_glimpses=1).macs
    two = costs.ram(60, scales=scales, num_glimpses=2).macs
    formula = (
        scales * 144 * 128 + 2 * 128 + 2 * 128 * 256 + 256 * 256 * 2 + 256 * 2
    )
    assert two - one == formula == expected


@pytest.mark.parametrize(
    "cost, millions",
    [
        (costs.ram(60), 2.02),
        (costs.ram(512), 2.02),
        (costs.ram(100, scales=4), 2.17),
        (costs.small_conv_net(60), 0.347),
        (costs.small_conv_net(100), 1.031),
        (costs.small_conv_net(200), 4.334),
        (costs.small_conv_net(512), 29.06),
    ],
)
def test_published_table(cost, millions):
    digits = len(str(millions).split(".")[1])
    assert round(cost.macs / 1e6, digits) == millions


@settings(deadline=None)
@given(st.integers(12, 10_000), st.integers(12, 10_000))
def test_ram_does_not_depend_on_the_image(first, second):
    assert costs.ram(first) == costs.ram(second)


@settings(max_examples=50, deadline=None)
@given(st.integers(32, 5_000))
def test_stn_multiply_adds_do_not_depend_on_the_image_but_reading_does(side):
    assert costs.stn_crop(side).macs == costs.stn_crop(64).macs
    assert costs.stn_crop(side).pixels_read - costs.stn_crop(
        64
    ).pixels_read == (side**2 - 64**2)


def test_half_size_thumbnail_grows_with_the_image():
    ratio = (
        costs.stn_crop(1024, thumbnail=None).macs
        / costs.stn_crop(512, thumbnail=None).macs
    )
    assert 3.8 < ratio < 4.2


@settings(deadline=None)
@given(st.integers(10, 3_000))
def test_more_pixels_never_cost_less(side):
    for model in (costs.small_conv_net, costs.pooling_cnn):
        assert model(side + 1).macs >= model(side).macs


def test_crossover_is_where_the_costs_meet():
    target = costs.ram(100, scales=4).macs
    side = costs.small_conv_net_crossover(target)
    assert side == pytest.approx(143, abs=0.5)
    assert costs.small_conv_net(int(side)).macs < target
    # The filters step by 5 pixels, so the exact cost jumps a little later.
    assert costs.small_conv_net(145).macs > target
    for cells in (1, 11, 40):
        exact = 10 + 5 * (cells - 1)
        macs = costs.small_conv_net(exact).macs
        assert costs.small_conv_net_crossover(macs) == pytest.approx(exact)


def test_costs_add_and_repeat():
    one = costs.dense(3, 4)
    assert one + one == costs.Cost(32, 24, 8, 0)
    # The same weights used twice are stored once.
    assert one.repeated(2) == costs.Cost(16, 24, 8, 0)
    with pytest.raises(TypeError):
        one + 1


def test_area_ratio_of_the_dram_paper():
    assert costs.area_ratio(110, 54) == pytest.approx(8.5 / 2.1, abs=0.15)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: costs.ram(8), "at least 12 pixels"),
        (lambda: costs.ram(60.0), "side.*integer.*60.0"),
        (lambda: costs.ram(60, num_glimpses=0), "num_glimpses"),
        (lambda: costs.small_conv_net(9), "at least 10 pixels"),
        (lambda: costs.small_conv_net(0), "side"),
        (lambda: costs.dense(0, 3), "inputs"),
        (lambda: costs.conv2d(9, 1, 1, 3, padding="full"), "padding"),
        (lambda: costs.stn_crop(20), "thumbnail of at most"),
        (lambda: costs.stn_crop(64, thumbnail=12), "at least 16"),
        (lambda: costs.stn_crop(24, thumbnail=None), "at least 16"),
        (lambda: costs.small_conv_net_crossover(100), "Received: 100"),
        (lambda: costs.area_ratio(0, 3), "to_side"),
        (lambda: baselines.small_conv_net(9), "at least 10 pixels"),
    ],
)
def test_bad_input_meets_one_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_crop_classifier_rejects_a_side_that_does_not_divide():
    with pytest.raises(ValueError, match="multiple of 32.*60"):
        baselines.CropClassifier()(np.zeros((1, 60, 60, 1), "float32"))


def test_crop_classifier_round_trip(tmp_path):
    model = baselines.CropClassifier(crop=20, num_classes=3)
    images = np.random.default_rng(0).random((2, 32, 32, 1)).astype("float32")
    before = keras.ops.convert_to_numpy(model(images))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    after = keras.ops.convert_to_numpy(loaded(images))
    np.testing.assert_allclose(after, before, rtol=1e-6)
    assert loaded.get_config() == model.get_config()
