"""The experiment of notebook 13: what refining a map in windows is worth."""

import dataclasses

import numpy as np
from scipy.special import expit

from attnlib import datasets, saliency_scores
from attnlib.datasets import scale_scenes
from attnlib.models import saliency_refiner, segmentation
from attnlib.models.glimpse_data import check_bytes, unit
from attnlib.models.provenance import Provenance, digest_of
from attnlib.models.saliency_refiner import GlobalSaliency, SaliencyRefiner
from attnlib.ops import checks
from attnlib.training import Batches, train_or_load, warmed_adam

# What differs from the paper's network.
KINDS = {
    "refined": {},
    "random": {"windows": "random"},
    "no-recurrence": {"recurrent": False},
}
DATASETS = ("saliency_scenes", "weizmann_horses", "ecssd", "msra_b")

_SPLITS = ("train", "validation", "test")
_OVERVIEW = (
    "size filters halvings batch_size learning_rate warmup_steps".split()
)
_REFINER = (
    "num_steps units refine_rate refine_batch first_steps first_epochs"
).split()
# Images that are looked at together.
_TOGETHER = 50
_NOISE_SEED = 1604  # of the random windows that are tested


@dataclasses.dataclass(frozen=True)
class Task(Provenance):
    """Images with masks of what is salient.

    Attributes:
        train: Dict of `images`, bytes (N, H, W, 3), and `mask`, uint8 (N, H,
            W), 0 or 1; `object` int8 (N, H, W), index of each pixel's object
            or -1, `boxes` (N, K, 4) and `size` (N, K), in pixels, 0 where
            there is none. Where objects are not known apart, all that is
            salient in an image is one.
        validation: Likewise.
        test: Likewise.
        name: The data set's name.
        digest: Digest of the data.
        description: What the data is, in words.
    """

    train: dict
    validation: dict
    test: dict
    name: str
    digest: str
    description: str


def load_task(settings) -> Task:
    """Load images and masks.

    Args:
        settings: A `profiles.Saliency`.

    Returns:
        A `Task`.

    Raises:
        ValueError: There is no such data set with salient objects.
    """
    name = checks.one_of("dataset", settings.dataset, DATASETS)
    parts, plan = {}, []
    for split in _SPLITS:
        options = {"width": settings.width, "height": settings.height}
        if name == "saliency_scenes":
            few = settings.held_out
            options = {
                "side": settings.height,
                "most": settings.objects,
                "count": settings.examples if split == "train" else few,
            }
        data = datasets.load(name, split, **options)
        segmentation.check(data["images"], data["mask"], 2, ignore=None)
        parts[split] = _with_objects(data)
        plan.append(options)
    # Options say how the data are made, which the digest then need not do.
    digest = f"{datasets.digest(name)} {plan}"
    count, height, width = parts["train"]["mask"].shape
    return Task(
        **parts,
        name=name,
        digest=digest_of(digest),
        description=(
            f"{name}, {count} training and {len(parts['test']['mask'])} test "
            f"images of {width}x{height}"
        ),
    )


def _with_objects(data):
    """Take all that is salient as one object where objects are not known."""
    if "object" in data:
        return data
    whose = data["mask"].astype(np.int8) - 1
    area = data["mask"].sum((1, 2))[:, None]
    return {
        **data,
        "object": whose,
        "boxes": scale_scenes.seen_boxes(whose, 1),
        "size": np.sqrt(4 * area / np.pi).astype(np.float32),
    }


def train_global(settings, task):
    """Train the network that sees the whole image, or load it.

    Args:
        settings: A `profiles.Saliency`.
        task: A `Task`.

    Returns:
        An `attnlib.training.Training`. Its history has `val_f_beta`.
    """
    batches = _batches(settings, task, settings.batch_size)

    def build():
        model = GlobalSaliency(
            settings.size, settings.filters, settings.halvings
        )
        return _compiled(
            model, settings, task, settings.epochs * len(batches.epoch(0))
        )

    config = {key: getattr(settings, key) for key in _OVERVIEW}
    return _trained(
        build, batches, settings, task, "global", config, settings.epochs
    )


def train_first(settings, task, overview):
    """Train the network that refines at random windows, or load it.

    From here all kinds go on. A window can learn where to look only when the
    network behind it knows what to do with what it sees.

    Args:
        settings: A `profiles.Saliency`.
        task: A `Task`.
        overview: The model of `train_global`.

    Returns:
        An `attnlib.training.Training`, with fewer steps and epochs than later.
    """
    first = dataclasses.replace(
        settings,
        num_steps=settings.first_steps,
        refine_epochs=settings.first_epochs,
    )
    return _train_refiner(first, task, "random", "first", overview)


def train(settings, task, kind, first):
    """Train a network that refines, or load it.

    Args:
        settings: A `profiles.Saliency`.
        task: A `Task`.
        kind: One of `KINDS`.
        first: The model of `train_first`.

    Returns:
        An `attnlib.training.Training`. Its history has `val_f_beta`, of the
        map after the last step.
    """
    checks.one_of("kind", kind, tuple(KINDS))
    weights = first.get_weights()
    return _train_refiner(settings, task, kind, kind, first.overview, weights)


def _train_refiner(settings, task, kind, name, overview, weights=None):
    batches = _batches(settings, task, settings.refine_batch)
    steps = settings.refine_epochs * len(batches.epoch(0))
    rate = dataclasses.replace(settings, learning_rate=settings.refine_rate)

    def build():
        model = build_refiner(settings, kind, overview)
        model = _compiled(model, rate, task, steps)
        if weights is not None:
            model.set_weights(weights)
        return model

    config = {key: getattr(settings, key) for key in (*_OVERVIEW, *_REFINER)}
    config = {**config, "kind": kind, "epochs": settings.epochs}
    return _trained(
        build, batches, settings, task, name, config, settings.refine_epochs
    )


def build_refiner(settings, kind, overview) -> SaliencyRefiner:
    """Return an untrained network that refines.

    Args:
        settings: A `profiles.Saliency`.
        kind: One of `KINDS`.
        overview: A trained `GlobalSaliency`.
    """
    return SaliencyRefiner(
        overview,
        settings.num_steps,
        settings.units,
        seed=settings.seed,
        **KINDS[kind],
    )


def _batches(settings, task, size):
    pairs = [(task.train["images"], task.train["mask"])]
    return Batches(pairs, size, settings.seed, segmentation.flipped)


def _compiled(model, settings, task, steps):
    model.build((None, *task.train["images"].shape[1:]))
    model.compile(warmed_adam(settings, steps))
    return model


def _trained(build, batches, settings, task, kind, config, epochs):
    def validate(model):
        data = task.validation
        maps = look(model, data["images"])["maps"][:, -1]
        value, _ = saliency_scores.best_f_beta(maps, data["mask"])
        return {"val_f_beta": value}

    return train_or_load(
        build,
        batches,
        name=f"saliency-{kind}-{task.name}",
        config=config,
        epochs=epochs,
        data_digest=task.digest,
        seed=settings.seed,
        version=saliency_refiner.VERSION,
        validation=validate,
    )


def train_all(settings, task) -> dict:
    """Train, or load, the global network and what refines its map.

    Args:
        settings: A `profiles.Saliency`.
        task: A `Task`.

    Returns:
        Dict from `"global"`, `"first"` and the kinds in `settings.models` to
        `training.Training`.
    """
    whole = train_global(settings, task)
    first = train_first(settings, task, whole.model)
    found = {"global": whole, "first": first}
    for kind in settings.models:
        found[kind] = train(settings, task, kind, first.model)
    return found


def look(model, images, steps=None, places=None, seed=_NOISE_SEED) -> dict:
    """Look at images and return the saliency map after every step.

    Args:
        model: A compiled `GlobalSaliency` or `SaliencyRefiner`.
        images: Bytes (N, H, W, 3).
        steps: Number of windows; None: as many as the model was trained with.
            More or fewer are possible.
        places: (N, T, 3), windows (s, tx, ty) to look at instead of the
            model's own, or None.
        seed: Of random windows.

    Returns:
        Dict of float32 arrays: `maps` (N, T + 1, H, W), probabilities, the
        first is the global map; `windows` (N, T, 3), (s, tx, ty). T is 0 for a
        `GlobalSaliency`.

    Raises:
        ValueError: Images are no bytes, there are none or of another size or
            number of channels than the model was built for; `steps` is below
            1; or places are not finite.
    """
    images = unit(check_bytes(images))
    # Before predict: on JAX one that fails leaves a model without weights.
    model.check(images)
    if isinstance(model, GlobalSaliency):
        logits = model.predict(images, batch_size=_TOGETHER, verbose=0)
        windows = np.empty((len(images), 0, 3), np.float32)
        return {"maps": expit(logits[..., 0][:, None]), "windows": windows}
    if places is None:
        count = model.num_steps if steps is None else steps
        shape = (len(images), checks.positive_integer("steps", count), 3)
        noise = np.random.default_rng(seed).random(shape)
        inputs = {"images": images, "noise": noise.astype("float32")}
    else:
        places = np.ascontiguousarray(places, np.float32)
        if not np.isfinite(places).all():
            raise ValueError(
                "expected places of finite numbers. Received: NaN or infinite "
                "ones"
            )
        inputs = {"images": images, "places": places}
    out = model.predict(inputs, batch_size=_TOGETHER, verbose=0)
    return {"maps": expit(out["logits"]), "windows": out["windows"]}


def scores(maps, masks) -> dict:
    """Return all measures of saliency maps.

    Args:
        maps: (N, H, W) in [0, 1].
        masks: (N, H, W), 0 or 1.

    Returns:
        Dict of floats: `f_beta`, the largest over the thresholds; `adaptive`,
        F-beta at twice the mean; `mae`; `s_measure`.
    """
    return {
        "f_beta": saliency_scores.best_f_beta(maps, masks)[0],
        "adaptive": saliency_scores.adaptive_f_beta(maps, masks),
        "mae": saliency_scores.mean_absolute_error(maps, masks),
        "s_measure": saliency_scores.s_measure(maps, masks),
    }


def pixel_boxes(windows, height, width) -> np.ndarray:
    """Return windows as boxes in pixels.

    Args:
        windows: (..., 3), (s, tx, ty) in [-1, 1] coordinates.
        height: Of the images in pixels.
        width: Likewise.

    Returns:
        float64 (..., 4): x, y, width, height.

    Example:

    >>> pixel_boxes([0.5, 0.5, 0.0], 96, 96).tolist()
    [48.0, 24.0, 48.0, 48.0]
    """
    scale, x, y = np.moveaxis(np.asarray(windows, np.float64), -1, 0)
    left, top = (x - scale + 1) * width / 2, (y - scale + 1) * height / 2
    return np.stack([left, top, scale * width, scale * height], axis=-1)


def best_iou(windows, boxes, height, width) -> np.ndarray:
    """Return how well the best of an image's windows fits each object.

    Args:
        windows: (N, T, 3), (s, tx, ty).
        boxes: (N, K, 4), x, y, width, height in pixels, 0 where there is no
            object.
        height: Of the images in pixels.
        width: Likewise.

    Returns:
        float64 (N, K): the largest intersection over union of an object's box
        and a window; NaN where there is no object.
    """
    seen = pixel_boxes(windows, height, width)[:, None]  # (N, 1, T, 4)
    boxes = np.asarray(boxes, np.float64)[:, :, None]  # (N, K, 1, 4)
    low = np.maximum(seen[..., :2], boxes[..., :2])
    high = np.minimum(
        seen[..., :2] + seen[..., 2:], boxes[..., :2] + boxes[..., 2:]
    )
    shared = np.clip(high - low, 0, None).prod(-1)
    union = seen[..., 2:].prod(-1) + boxes[..., 2:].prod(-1) - shared
    there = boxes[:, :, 0, 2] > 0
    return np.where(there, (shared / union).max(-1), np.nan)


def by_object(data, maps, threshold) -> dict:
    """Measure a map in the surroundings of each object.

    The surroundings are the object's box, half as far again on each side and
    at least 4 pixels, without the pixels of other objects.

    Args:
        data: A split of a `Task`.
        maps: (N, H, W) in [0, 1].
        threshold: From which a pixel is called salient.

    Returns:
        Dict of arrays with one entry an object: `size` in pixels, `f_beta`,
        and `image`, the index of its image.
    """
    count, height, width = maps.shape
    rows, columns = np.arange(height), np.arange(width)
    image, which = np.nonzero(data["size"] > 0)
    near = np.empty((len(image), height, width), bool)
    for n, (x, y, w, h) in enumerate(data["boxes"][image, which]):
        dx, dy = max(4, w // 2), max(4, h // 2)
        across = (columns >= x - dx) & (columns < x + w + dx)
        down = (rows >= y - dy) & (rows < y + h + dy)
        near[n] = down[:, None] & across
    whose = data["object"][image]
    own = whose == which[:, None, None]
    near &= own | (whose < 0)
    called = (maps >= threshold)[image]
    return {
        "size": data["size"][image, which],
        "image": image,
        "f_beta": saliency_scores.region_f_beta(called, own, near),
    }


def thirds(size) -> np.ndarray:
    """Return the third of the sizes that each object is in: 0, 1 or 2.

    Args:
        size: (N,) in pixels.

    Example:

    >>> thirds([8, 9, 20, 21, 50, 60]).tolist()
    [0, 0, 1, 1, 2, 2]
    """
    return np.searchsorted(np.quantile(size, (1 / 3, 2 / 3)), size, "right")
