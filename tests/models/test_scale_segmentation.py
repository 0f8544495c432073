"""The network of several scales against NumPy, and its errors."""

import keras
import numpy as np
import pytest
from keras import ops
from numerics import gradients, to_numpy

from attnlib.models import scale_segmentation as ss
from attnlib.models.scale_segmentation import ScaleSegmentation


def images(count=2, height=16, width=24):
    random = np.random.default_rng(0)
    return random.random((count, height, width, 3), "float32")


def masks(count=2, height=16, width=24, classes=3):
    random = np.random.default_rng(1)
    found = random.integers(0, classes, (count, height, width))
    found[:, :3] = ss.IGNORE
    return found.astype("uint8")


def made(**options):
    keras.utils.set_random_seed(0)
    options = {"scales": (1, 0.5), "units": 3, **options}
    model = ScaleSegmentation(3, network=ss.build_network(2), **options)
    model.build((None, 16, 24, 3))
    return model


def cross_entropy(mask, scores):
    """The equation in float64."""
    h, w = scores.shape[1:3]
    rows = (2 * np.arange(h) + 1) * mask.shape[1] // (2 * h)
    columns = (2 * np.arange(w) + 1) * mask.shape[2] // (2 * w)
    mask = mask[:, rows][:, :, columns]
    scores = scores.astype(np.float64)
    log = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    known = mask != ss.IGNORE
    return -log[known, mask[known]].mean()


def test_shapes_at_each_scale():
    model = made(scales=(1, 0.75, 0.5))
    out = to_numpy(model(images()))
    assert out["merged"].shape == (2, 4, 6, 3)
    assert [f.shape for f in out["own"]] == [
        (2, 4, 6, 3),
        (2, 3, 5, 3),
        (2, 2, 3, 3),
    ]
    assert out["weights"].shape == (2, 3, 4, 6)
    np.testing.assert_allclose(out["weights"].sum(1), 1, rtol=1e-5)


def test_one_network_sees_all_scales():
    single = made(scales=1.0)
    names = [w.path for w in single.network.weights]
    several = made()
    assert len(several.network.weights) == len(names)
    extra = several.count_params() - single.count_params()
    assert extra == several.attention.count_params()
    assert made(merge="max").count_params() == single.count_params()


def test_the_coarse_scale_is_the_network_on_a_small_image():
    model = made()
    given = images()
    small = given.reshape(2, 8, 2, 12, 2, 3).mean((2, 4))
    wanted = model.scorer(model.network(small))
    found = model(given)["own"][1]
    np.testing.assert_allclose(to_numpy(found), to_numpy(wanted), atol=1e-5)


@pytest.mark.parametrize("merge", ss.MERGES)
def test_merged_scores(merge):
    model = made(merge=merge)
    out = to_numpy(model(images()))
    fine, coarse = out["own"]
    large = to_numpy(ss.resized(ops.convert_to_tensor(coarse), (4, 6)))
    maps = np.stack([fine, large], 1)
    weights = out["weights"][..., None]
    wanted = {
        "average": maps.mean(1),
        "max": maps.max(1),
        "attention": (weights * maps).sum(1),
    }[merge]
    np.testing.assert_allclose(out["merged"], wanted, rtol=1e-4, atol=1e-6)
    if merge == "average":
        np.testing.assert_array_equal(out["weights"], 0.5)
    if merge == "max":
        best = maps.max(-1).argmax(1)
        np.testing.assert_array_equal(out["weights"].argmax(1), best)
        assert set(np.unique(out["weights"])) <= {0, 1}


def test_attention_begins_near_the_average():
    weights = to_numpy(made()(images())["weights"])
    np.testing.assert_allclose(weights, 0.5, atol=0.02)


def test_a_single_scale_needs_no_merging():
    for merge in ss.MERGES:
        model = made(scales=(1,), merge=merge)
        out = to_numpy(model(images()))
        np.testing.assert_allclose(out["merged"], out["own"][0], rtol=1e-6)
        np.testing.assert_array_equal(out["weights"], 1)


@pytest.mark.parametrize("extra", [False, True])
def test_loss_is_the_sum_of_cross_entropies(extra):
    model = made(extra_supervision=extra)
    out = to_numpy(model(images()))
    mask = masks()
    loss = float(to_numpy(model.compute_loss(y=mask, y_pred=out)))
    wanted = cross_entropy(mask, out["merged"])
    if extra:
        wanted += sum(cross_entropy(mask, scores) for scores in out["own"])
    assert loss == pytest.approx(wanted, rel=1e-4)


def test_ignored_pixels_have_no_gradient():
    random = np.random.default_rng(2)
    scores = random.normal(size=(1, 4, 6, 3)).astype("float32")
    mask = masks(1, 4, 6)

    def loss(scores):
        return ss.pixel_nll(mask, scores)

    (found,) = gradients(loss, scores)
    p = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    known = mask != ss.IGNORE
    target = np.eye(3)[np.where(known, mask, 0)]
    wanted = (p - target) * known[..., None] / known.sum()
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    nothing = np.full((1, 4, 6), ss.IGNORE)
    assert float(to_numpy(ss.pixel_nll(nothing, scores))) == 0


def test_shrunk_takes_the_centres_of_cells():
    mask = np.arange(30).reshape(1, 5, 6)
    found = to_numpy(ss.shrunk(ops.convert_to_tensor(mask), (2, 3)))
    np.testing.assert_array_equal(found[0], mask[0][[1, 3]][:, [1, 3, 5]])


def test_it_learns_one_batch():
    model = made(extra_supervision=True)
    mask = np.zeros((2, 16, 24), "uint8")
    mask[:, :, 12:] = 2
    model.compile(optimizer=keras.optimizers.Adam(1e-2))
    history = model.fit(
        images() * 0.3 + (mask > 0)[..., None] * 0.5,
        mask,
        batch_size=2,
        epochs=60,
        verbose=0,
    ).history
    assert history["nll"][-1] < 0.1 * history["nll"][0]


def test_config_and_file(tmp_path):
    model = made()
    given = images()
    model(given)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.scales == (1.0, 0.5) and loaded.merge == "attention"
    np.testing.assert_allclose(
        to_numpy(loaded(given)["merged"]),
        to_numpy(model(given)["merged"]),
        atol=1e-6,
    )


def test_network_sees_as_far_as_it_says():
    """The gradient of the middle feature ends where `sees` says."""
    for halvings, rates in ((2, (1,)), (2, (2,)), (1, (1, 3))):
        network = ss.build_network(2, halvings, rates)
        weights = [abs(w) + 0.01 for w in network.get_weights()]
        network.set_weights(weights)

        def middle(image, network=network):
            features = network(image)
            at = features.shape[1] // 2
            return features[0, at, at, 0]

        ones = np.ones((1, 64, 64, 3), "float32")
        (slope,) = gradients(middle, ones)
        rows = np.flatnonzero(np.abs(slope).sum((0, 2, 3)))
        assert np.ptp(rows) + 1 == ss.sees(halvings, rates)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, "above 0 and up to 1"),
        ({"scales": (1, 1.5)}, "above 0 and up to 1"),
        ({"scales": (0.5, 1)}, r"finest first. Received: \(0.5, 1\)"),
        ({"scales": (1, 1)}, "all different"),
        ({"scales": (1, 0)}, "above 0"),
        ({"scales": ("1",)}, "above 0"),
        ({"merge": "sum"}, "merge to be one of.*'average'.*'sum'"),
        ({"units": 0}, "units"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        ScaleSegmentation(3, **options)


def test_a_scale_that_leaves_no_pixel():
    model = ScaleSegmentation(3, scales=(1, 0.01))
    with pytest.raises(
        ValueError, match="one pixel.*Received: scale 0.01 of images of 16 x 24"
    ):
        model.build((None, 16, 24, 3))


def test_bad_images():
    model = made()
    with pytest.raises(ValueError, match="rank"):
        model.sizes((16, 24, 3))
    with pytest.raises(ValueError, match="known height and width"):
        model.sizes((None, None, 24, 3))
    with pytest.raises(ValueError, match="rate"):
        ss.build_network(2, rates=(0,))


WRONG = [
    (masks(2, 8, 12), "size of each image.*16, 24, 3.*2, 8, 12.*Resize"),
    (masks()[:, :, :-1], "size of each image"),
    (masks()[:1], "size of each image"),
    (masks()[0], "size of each image"),
    (masks() * 0 + 99, "0 to 2, or 255 for pixels to ignore. Received: 99"),
    (masks().astype("int32") - 300, "Received: -300 in mask 0"),
    (masks().astype("float32"), "whole numbers.*float32"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
@pytest.mark.parametrize("how", ["fit", "train_on_batch"])
def test_masks_that_do_not_fit_are_not_learned(how, wrong, message):
    model = made()
    model.compile(optimizer="sgd")
    options = {"verbose": 0} if how == "fit" else {}
    with pytest.raises(ValueError, match=message):
        getattr(model, how)(images(), wrong, **options)
    # The model can still be used, and void pixels count for nothing.
    getattr(model, how)(images(), masks(), **options)
    assert np.isfinite(model.predict(images(), verbose=0)["merged"]).all()


def test_sizes_are_compared_where_masks_come_in_batches():
    model = made()
    out = model(images())
    with pytest.raises(ValueError, match="size of each image"):
        model.compute_loss(images(), masks(2, 8, 12), out)


def test_images_must_have_the_channels_of_the_model():
    with pytest.raises(ValueError, match="last axis of size 3"):
        made()(images()[..., :1])
