"""Windows side by side: against NumPy, closed forms, gradients, errors."""

import keras
import numpy as np
import pytest
from keras import ops
from numerics import to_numpy

from attnlib.models import parallel_transformers as pt
from attnlib.models.captions import gradients
from attnlib.models.parallel_transformers import ParallelTransformers
from attnlib.ops.grids import cell_middles

SMALL = {"num_classes": 5, "filters": 2, "units": 4, "localization_filters": 2}


def images(count=3, side=32):
    random = np.random.default_rng(0)
    return random.random((count, side, side, 1), "float32")


def made(transformers=2, side=32, **options):
    keras.utils.set_random_seed(0)
    model = ParallelTransformers(
        transformers, **{**SMALL, "crop": 8, **options}
    )
    model.build((None, side, side, 1))
    return model


def my_read(image, middle, scale, crop):
    """A window in float64, from equation 5."""
    height, width, _ = image.shape
    steps = (2 * np.arange(crop) + 1) / crop - 1
    y, x = np.meshgrid(steps, steps, indexing="ij")
    column = ((scale * x + middle[0] + 1) * width - 1) / 2
    row = ((scale * y + middle[1] + 1) * height - 1) / 2
    across = np.maximum(0, 1 - abs(column[..., None] - np.arange(width)))
    down = np.maximum(0, 1 - abs(row[..., None] - np.arange(height)))
    return np.einsum("ijn,ijm,nmc->ijc", down, across, image)


@pytest.mark.parametrize("head", pt.HEADS)
@pytest.mark.parametrize("transformers", [0, 1, 3])
def test_shapes(head, transformers):
    model = made(transformers, head=head)
    assert to_numpy(model(images())).shape == (3, 5)
    assert model.compute_output_shape((None, 32, 32, 1)) == (None, 5)
    count = max(1, transformers)
    assert to_numpy(model.crops(images())).shape == (3, count, 8, 8, 1)
    if transformers:
        assert to_numpy(model.places(images())).shape == (3, transformers, 2)


def test_tiles():
    assert pt.tiles(1).tolist() == [[0, 0]]
    assert pt.tiles(4).tolist() == [
        [-0.5, -0.5],
        [0.5, -0.5],
        [-0.5, 0.5],
        [0.5, 0.5],
    ]
    for count in range(1, 10):
        assert len(np.unique(pt.tiles(count), axis=0)) == count


def test_cells_are_the_maps_pixels():
    cells = cell_middles(2, 4)
    assert cells[:4, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert cells[::4, 1].tolist() == [-0.5, 0.5]


@pytest.mark.parametrize("head", pt.HEADS)
@pytest.mark.parametrize("transformers", [1, 2, 4])
def test_windows_begin_near_their_tiles(head, transformers):
    model = made(transformers, head=head)
    for layer in model.localization.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([0 * w for w in layer.get_weights()])
    places = to_numpy(model.places(images()))
    wanted = pt.tiles(transformers)
    # The habit is cut off at the image's border: middles lie further in.
    slack = {"dense": 1e-5, "expected": 0.15}[head]
    np.testing.assert_allclose(places, [wanted] * 3, atol=slack)


def test_expected_place_against_numpy():
    model = made(2)
    maps = to_numpy(model.localization(images())).astype(np.float64)
    maps = maps.reshape(3, -1, 2) + to_numpy(model.habit)
    weights = np.exp(maps) / np.exp(maps).sum(1, keepdims=True)
    wanted = np.einsum("bln,lc->bnc", weights, cell_middles(8, 8))
    np.testing.assert_allclose(
        to_numpy(model.places(images())), wanted, atol=1e-5
    )


def test_habits_fade_while_training_and_maps_get_sharp():
    model = made(2, habit_updates=4, sharpness=3.0)
    maps = to_numpy(model.localization(images())).astype(np.float64)
    maps, habit = maps.reshape(3, -1, 2), to_numpy(model.habit)

    def wanted(left):
        sharp = (left + (1 - left) * 3.0) * maps + left * habit
        weights = np.exp(sharp) / np.exp(sharp).sum(1, keepdims=True)
        return np.einsum("bln,lc->bnc", weights, cell_middles(8, 8))

    # Calls that do not train change nothing; after four, the habit is gone.
    for calls, left in enumerate((1, 0.75, 0.5, 0.25, 0, 0)):
        for _ in range(2):
            model(images())
        found = to_numpy(model.places(images()))
        message = f"after {calls} calls"
        np.testing.assert_allclose(found, wanted(left), 0, 1e-5, message)
        model(images(), training=True)


def test_a_habit_that_fades_counts_what_fit_does_and_is_saved(tmp_path):
    model = made(2, habit_updates=6)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
    model.fit(images(4), np.arange(4), 2, epochs=2, verbose=0)
    assert float(to_numpy(model.updates)) == 4
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert float(to_numpy(again.updates)) == 4
    np.testing.assert_allclose(
        to_numpy(again.places(images())),
        to_numpy(model.places(images())),
        atol=1e-6,
    )


def test_updates_are_counted_beyond_what_half_precision_can():
    model = made(2, habit_updates=10_000, dtype="mixed_float16")
    model.updates.assign(4096.0)
    model(images(), training=True)
    assert float(to_numpy(model.updates)) == 4097


def test_without_habits_the_border_of_an_empty_background_is_unseen():
    """A map moves with what it shows, within sight of the border."""
    model = made(2, localization_filters=4)
    thing = np.random.default_rng(0).random((8, 8, 1))
    canvas = np.zeros((2, 32, 32, 1), "float32")
    canvas[0, 12:20, 12:20] = canvas[1, 4:12, 20:28] = thing
    middle, corner = to_numpy(model.localization(canvas))  # (8, 8, 2) each
    np.testing.assert_allclose(corner[:6, 2:], middle[2:, :6], atol=1e-5)
    assert np.ptp(middle) > 0.01


def test_windows_pay_for_what_they_share():
    """The share of a window, counted on a fine grid."""
    places = np.float32([[[-0.1, 0.0], [0.2, 0.3], [0.9, 0.9]]])
    points = cell_middles(400, 400)
    held = np.abs(points[:, None] - places[0]).max(-1) <= 0.4  # (L, 3)
    wanted = [
        (held[:, a] & held[:, b]).sum() / held[:, 0].sum()
        for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    found = to_numpy(pt.shared(places, 0.4))
    np.testing.assert_allclose(found, [wanted], atol=0.01)


def test_the_penalty_is_in_the_loss_while_training():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    x, y = images(4), np.arange(4)
    found = {}
    for weight in (0.0, 2.0):
        model = made(2, overlap_penalty=weight, scale=0.9)
        model.compile(keras.optimizers.SGD(0.0), loss)
        trained = float(model.train_on_batch(x, y))
        tested = float(model.test_on_batch(x, y))
        found[weight] = trained - tested
    overlap = to_numpy(pt.shared(model.places(x), model.scale)).mean()
    assert overlap > 0
    np.testing.assert_allclose(found[0.0], 0, atol=1e-5)
    np.testing.assert_allclose(found[2.0], 2 * overlap, atol=1e-4)


def test_a_sharp_map_is_a_place():
    model = made(1)
    habit = np.full((64, 1), -50.0, "float32")
    habit[8 * 2 + 6] = 50
    model.habit.assign(habit)
    places = to_numpy(model.places(images()))
    np.testing.assert_allclose(places[:, 0], [[0.625, -0.375]] * 3, atol=1e-5)


def test_windows_never_leave_the_image_with_bounded_layers():
    model = made(2, head="dense", scale=0.5)
    *_, last = model.localization.layers
    kernel, bias = last.get_weights()
    last.set_weights([kernel, 100 * bias + 1000])
    places = to_numpy(model.places(images()))
    np.testing.assert_allclose(places, 0.5, atol=1e-6)


def test_reading_against_numpy():
    model = made(2, scale=0.3)
    given = images(2, 32)
    places = np.random.default_rng(1).uniform(-0.9, 0.9, (2, 2, 2))
    found = to_numpy(model.read(given, places.astype("float32")))
    for b in range(2):
        for n in range(2):
            wanted = my_read(given[b], places[b, n], 0.3, 8)
            np.testing.assert_allclose(found[b, n], wanted, atol=1e-4)


def test_a_window_of_the_whole_image_is_the_image():
    model = made(1, side=8, scale=1.0, crop=8, localization_pool=1)
    found = model.read(images(2, 8), np.zeros((2, 1, 2), "float32"))
    np.testing.assert_allclose(to_numpy(found)[:, 0], images(2, 8), atol=1e-5)


def test_without_windows_the_image_is_averaged_down():
    model = made(0, crop=16)
    found = to_numpy(model.crops(np.ones((1, 32, 32, 1), "float32")))
    np.testing.assert_allclose(found, 1, atol=1e-5)
    with pytest.raises(ValueError, match="a model with transformers"):
        model.places(images())


def test_one_reader_for_all_windows():
    counts = {n: made(n).reader.count_params() for n in (0, 1, 4)}
    assert len(set(counts.values())) == 1
    model = made(2)
    crops = model.crops(images())
    each = [to_numpy(model.reader(crops[:, n])) for n in range(2)]
    wanted = model.classifier(np.concatenate(each, axis=-1))
    np.testing.assert_allclose(
        to_numpy(model.classify(crops)), to_numpy(wanted), atol=1e-5
    )


@pytest.mark.parametrize("head", pt.HEADS)
def test_the_loss_moves_the_windows(head):
    """The gradient to a place, by finite differences."""
    model = made(2, head=head)
    # Smooth on the scale of the difference: a ramp has no corners inside.
    ramp = np.linspace(0, 1, 32, dtype="float32") ** 2
    given = np.repeat(ramp[None, None, :, None], 32, axis=1)
    start = np.array([[[-0.31, 0.02], [0.27, 0.1]]], "float32")

    def loss(places):
        return ops.sum(ops.square(model.read(given, places)))

    (found,) = gradients(loss, start)
    for n in range(2):
        step = np.zeros_like(start)
        step[0, n, 0] = 5e-3
        slope = float(loss(start + step)) - float(loss(start - step))
        np.testing.assert_allclose(
            to_numpy(found)[0, n, 0], slope / 1e-2, rtol=0.05
        )


def test_every_weight_learns():
    model = made(2)
    before = [to_numpy(w.value) for w in model.trainable_weights]
    model.compile(
        keras.optimizers.SGD(1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(images(8), np.arange(8) % 5, epochs=1, verbose=0, batch_size=8)
    for old, weight in zip(before, model.trainable_weights, strict=True):
        assert np.abs(to_numpy(weight.value) - old).max() > 0, weight.path


def test_one_batch_is_learned_by_heart():
    model = made(2, units=16, filters=8, localization_filters=4)
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    x, y = images(5), np.arange(5)
    for _ in range(60):
        loss = model.train_on_batch(x, y)
    assert float(loss) < 0.2


@pytest.mark.parametrize("head", pt.HEADS)
def test_saved_and_loaded(head, tmp_path):
    model = made(2, head=head, dropout=0.5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    np.testing.assert_allclose(
        to_numpy(again(images())), to_numpy(model(images())), atol=1e-6
    )


def test_half_precision_keeps_places_exact():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = made(2)
    finally:
        keras.config.set_dtype_policy("float32")
    assert to_numpy(model(images())).dtype == np.float16
    assert to_numpy(model.places(images())).dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transformers": -1}, "transformers to be a whole number.*-1"),
        ({"transformers": True}, "transformers to be a whole number.*True"),
        ({"scale": 1.5}, "scale of at most 1. Received: 1.5"),
        ({"scale": 0}, "scale"),
        ({"head": "fc"}, "head to be one of.*'fc'"),
        ({"crop": 3}, "crop of at least 4 pixels for 3 conv.*Received: 3"),
        ({"dropout": 1.0}, "dropout"),
        ({"overlap_penalty": -1.0}, "overlap_penalty"),
        ({"localization_pool": 20}, "at least 40x40 pixels.*32x32"),
    ],
)
def test_arguments_that_make_no_model(change, message):
    with pytest.raises(ValueError, match=message):
        made(**change)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((2, 32, 32), "float32"), "rank|dimension"),
        (np.zeros((2, 32, 30, 1), "float32"), "widths"),
        (np.zeros((2, 30, 32, 1), "float32"), "heights"),
        (np.zeros((2, 32, 32, 3), "float32"), "channels"),
        (np.zeros((2, 32, 32, 1), "uint8"), "float"),
    ],
)
def test_images_that_do_not_fit(given, message):
    model = made(2)
    for method in (model.places, model.crops):
        with pytest.raises(ValueError, match=message):
            method(given)


def test_windows_that_do_not_fit():
    model = made(2)
    with pytest.raises(ValueError, match="places"):
        model.read(images(), np.zeros((3, 2), "float32"))
    with pytest.raises(ValueError, match=r"\(B, 2, 8, 8, 1\). Received"):
        model.classify(ops.zeros((3, 1, 8, 8, 1)))
