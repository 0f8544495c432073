"""Train a model once: cached, resumable, reproducible to the bit.

`train_or_load` runs plain `model.fit`, an epoch at a time. After every epoch
it saves weights, optimiser, random streams and history in one file, so that a
killed training goes on where it stopped and ends, on a CPU, with the very
weights of an unbroken one.

With `ATTNLIB_DEVICES=all` every batch is shared out to all devices (JAX). The
noise does not depend on how many there are, and the sums of a batch differ by
rounding alone, so a training may stop on one device and go on on eight.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import sys
import time
import warnings
import zipfile

import filelock
import keras
import numpy as np

from attnlib import _backend, _spent, paths

_FORMAT = 1

# What reading a damaged state file can raise: an empty one, one cut short,
# one with other bytes inside, one with another content.
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    zipfile.BadZipFile,
)


class TrainingDiverged(RuntimeError):
    """The loss became NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class Training:
    """A trained model and how it came to be.

    Attributes:
        model: The model with its final weights.
        history: Name of a log to its value after every epoch.
        seconds: Time spent training, over all interruptions.
        loaded: True when nothing had to be trained.
        device: The device it was trained on.
        folder: Where the checkpoint lies.
    """

    model: keras.Model
    history: dict
    seconds: float
    loaded: bool
    device: str
    folder: str


def warmed_adam(settings, steps) -> keras.optimizers.Optimizer:
    """Return Adam whose rate rises, then falls to 0 as a cosine.

    Args:
        settings: Has `learning_rate`, the highest one, and `warmup_steps`, of
            which there are at most a tenth of all steps.
        steps: Number of updates until the rate is 0.

    Returns:
        An optimizer that limits the gradient's norm to 1.
    """
    warmup = min(settings.warmup_steps, max(1, steps // 10))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, steps - warmup),
        warmup_target=settings.learning_rate,
        warmup_steps=warmup,
    )
    return keras.optimizers.Adam(schedule, global_clipnorm=1.0)


class Batches:
    """Training data in an order that depends on seed and epoch alone.

    The batch at position i of epoch e is the same in every process, which is
    what makes a resumed training equal to an unbroken one. The examples that
    do not fill a last batch are left out, others in every epoch, so that all
    batches of a group have one shape and compile once.

    Args:
        groups: A list of `(x, y)`, where x and y are arrays or dicts of
            arrays with the same first axis. A batch comes from one group, so
            that groups may differ in their shapes (length buckets).
        batch_size: Examples in a batch, at least 1.
        seed: Seed of the order.
        transform: A function `(x, y, generator) -> (x, y)` applied to every
            batch, with a NumPy generator of the batch's own, or None.

    Raises:
        ValueError: Data is empty, of unequal lengths, or not finite.
    """

    def __init__(self, groups, batch_size, seed=0, transform=None):
        if batch_size < 1:
            raise ValueError(
                f"expected batch_size of at least 1. Received: {batch_size}"
            )
        if not groups:
            raise ValueError("expected at least one group of data, got none")
        self.groups = [(_named(x), _named(y)) for x, y in groups]
        self.single = [
            (not isinstance(x, dict), not isinstance(y, dict))
            for x, y in groups
        ]
        self.batch_size = batch_size
        self.seed = seed
        self.transform = transform
        self.sizes = [_checked_size(x, y) for x, y in self.groups]
        self.pair = _unlike_pair(self.groups)

    @property
    def widths(self):
        """Examples in a batch, for every group."""
        return [min(self.batch_size, size) for size in self.sizes]

    def epoch(self, number):
        """Return the batches of one epoch as a `keras.utils.PyDataset`."""
        generator = np.random.default_rng([self.seed, number])
        plan = []
        sizes = zip(self.sizes, self.widths, strict=True)
        for group, (size, width) in enumerate(sizes):
            order = generator.permutation(size)
            plan.extend(
                (group, order[start : start + width])
                for start in range(0, size - width + 1, width)
            )
        shuffled = [plan[i] for i in generator.permutation(len(plan))]
        plan = _every_group_first(shuffled)
        if self.pair is not None:
            front = plan[: len(self.groups)]
            front.sort(key=lambda entry: entry[0] not in self.pair)
            plan[: len(front)] = front
        return _Epoch(self, number, plan)


class _Epoch(keras.utils.PyDataset):
    def __init__(self, batches, number, plan):
        super().__init__()
        self.batches, self.number, self.plan = batches, number, plan

    def __len__(self):
        return len(self.plan)

    def __getitem__(self, index):
        group, rows = self.plan[index]
        x, y = (
            {name: array[rows] for name, array in side.items()}
            for side in self.batches.groups[group]
        )
        single_x, single_y = self.batches.single[group]
        x = x[""] if single_x else x
        y = y[""] if single_y else y
        if self.batches.transform is not None:
            key = [self.batches.seed, self.number, index]
            x, y = self.batches.transform(x, y, np.random.default_rng(key))
        return x, y


def _named(side):
    return side if isinstance(side, dict) else {"": side}


def _checked_size(x, y):
    sizes = {}
    sides = [("x", x), ("y", y)]
    for name, array in (
        (key or side, array)
        for side, held in sides
        for key, array in held.items()
    ):
        sizes[name] = len(array)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
            raise ValueError(
                f"expected finite training data. Received: NaN or infinity in "
                f"{name}, first in example {bad.argmax()} "
                f"({bad.sum()} examples in all). Remove or repair them"
            )
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        raise ValueError(
            f"expected arrays of one length of at least 1. Received: {sizes}"
        )
    return next(iter(sizes.values()))


def _every_group_first(plan):
    """Move one batch of each group to the front.

    TensorFlow derives the shapes of a data set from its first batches.
    """
    first = {}
    for position, (group, _) in enumerate(plan):
        first.setdefault(group, position)
    front = sorted(first.values())
    taken = set(front)
    rest = [entry for i, entry in enumerate(plan) if i not in taken]
    return [plan[i] for i in front] + rest


def _unlike_pair(groups):
    """Return two groups that differ in every size in which any groups do.

    Keras shows TensorFlow two batches: a size that is the same in both is
    taken for the size in all. None when any two groups will do.
    """
    shapes = [
        [
            size
            for array in (*x.values(), *y.values())
            for size in array.shape[1:]
        ]
        for x, y in groups
    ]
    if len({len(sizes) for sizes in shapes}) > 1:
        raise ValueError(
            "expected groups whose arrays have the same names and ranks. "
            f"Received: groups with the sizes {shapes}"
        )
    varying = [len(set(sizes)) > 1 for sizes in zip(*shapes, strict=True)]
    unlike = {
        pair: sum(
            a != b for a, b in zip(*(shapes[i] for i in pair), strict=True)
        )
        for pair in itertools.combinations(range(len(shapes)), 2)
    }
    if not unlike or min(unlike.values()) == sum(varying):
        return None
    best = max(unlike, key=unlike.get)
    if unlike[best] < sum(varying) and keras.config.backend() == "tensorflow":
        raise ValueError(
            "expected two groups that differ in every size in which any "
            "groups differ, since TensorFlow looks at two batches only. "
            f"Received: groups with the sizes {shapes}. Pad one of them"
        )
    return best


def train_or_load(
    build,
    batches,
    *,
    name,
    config,
    epochs,
    data_digest,
    seed=0,
    version=1,
    validation=None,
):
    """Return a trained model, from the cache when it was trained before.

    Args:
        build: Function without arguments that returns a built and compiled
            model. It is called after all random seeds are set.
        batches: A `Batches`.
        name: Short name of the model, part of the folder's name.
        config: Dict of everything else that the result depends on: sizes,
            learning rates and so on. JSON types only.
        epochs: Number of passes over the data, at least 1.
        data_digest: Digest of the data, from `attnlib.datasets.digest`.
        seed: Seed of weights, noise and order.
        version: The model module's version, raised when results change.
        validation: Function from the model to a dict of floats, called after
            every epoch and kept in the history, or None. What has a name that
            starts with an underscore is kept and not printed.

    Returns:
        A `Training`.

    Raises:
        TrainingDiverged: The loss became NaN; the message names the batch.
        OSError: The cache cannot be written.
        ValueError: Batches cannot be shared equally by the devices that
            `ATTNLIB_DEVICES` asks for, or the backend cannot share them.
    """
    if epochs < 1:
        raise ValueError(f"expected epochs of at least 1. Received: {epochs}")
    distribution = _distribution()
    _check_shares(batches, distribution)
    device = _backend.device()
    identity = {
        "name": name,
        "config": config,
        "epochs": epochs,
        "seed": seed,
        "backend": keras.config.backend(),
        "data": data_digest,
        "version": version,
    }
    text = json.dumps(identity, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:12]
    folder = paths.cache_dir() / "models" / f"{name}-{key}"
    with _locked(folder):
        keras.utils.set_random_seed(seed)
        with _scope(distribution):
            model = build()
            run = _Run(
                model, folder / "state.npz", identity, device, distribution
            )
            loaded = run.restore() and run.epoch >= epochs
        _spent.note(folder, run.seconds)
        if not loaded:
            run.train(batches, epochs, validation)
    return Training(
        model, run.history, run.seconds, loaded, run.device, str(folder)
    )


def _distribution():
    """Return how batches are shared out: None on a single device.

    A distribution that the caller has set wins.
    """
    wanted = os.environ.get("ATTNLIB_DEVICES", "")
    if wanted not in ("", "1", "all"):
        raise ValueError(
            f"expected ATTNLIB_DEVICES to be 1 or all. Received: {wanted!r}"
        )
    chosen = keras.distribution.distribution()
    if chosen is not None or wanted != "all":
        return chosen
    if keras.config.backend() != "jax":
        raise ValueError(
            "expected the backend jax with ATTNLIB_DEVICES=all. Received: "
            f"{keras.config.backend()}. Set KERAS_BACKEND=jax (BACKEND=jax)"
        )
    if len(keras.distribution.list_devices()) == 1:
        return None
    return keras.distribution.DataParallel(auto_shard_dataset=False)


def _scope(distribution):
    return distribution.scope() if distribution else contextlib.nullcontext()


def _check_shares(batches, distribution):
    """Raise where devices cannot get equal shares of every batch."""
    if distribution is None:
        return
    mesh = distribution.device_mesh
    # Other axes of a mesh share weights out, not examples.
    devices = mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]
    odd = sorted({width for width in batches.widths if width % devices})
    if odd:
        raise ValueError(
            f"expected batches that {devices} devices can share equally. "
            f"Received: batches of {', '.join(map(str, odd))} examples. "
            f"Choose a batch size that is a multiple of {devices}, or fewer "
            "devices"
        )


@contextlib.contextmanager
def _locked(folder):
    """Make a folder and keep other processes out of it."""
    lock = filelock.FileLock(folder / "lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot write {folder}: {error.strerror or error}. Free some "
            "space there, or set ATTNLIB_CACHE to a folder that can be "
            "written",
        ) from error
    try:
        yield
    finally:
        lock.release()


class _Run:
    """One training: the model, its state file and its history."""

    def __init__(self, model, file, identity, device, distribution):
        self.model, self.file = model, file
        self.identity, self.device = identity, device
        self.distribution = distribution
        self.epoch, self.seconds, self.history = 0, 0.0, {}

    def _variables(self):
        model = self.model
        if model.optimizer is not None and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        return [*model.variables, *model.optimizer.variables]

    def restore(self):
        """Load the state file; return whether there was a good one."""
        if not self.file.exists():
            return False
        try:
            # NumPy leaves a file open that it cannot read: open it here.
            with (
                open(self.file, "rb") as file,
                np.load(file, allow_pickle=False) as state,
            ):
                meta = json.loads(state["meta"].tobytes())
                arrays = [
                    state[f"{i:05d}"] for i in range(len(self._variables()))
                ]
            self._check(meta, arrays)
        except _DAMAGE as error:
            kept = paths.set_aside(self.file)
            warnings.warn(
                f"the cached training {self.file} is damaged ({error}). It "
                f"was kept as {kept.name}; training starts anew",
                stacklevel=4,
            )
            return False
        for variable, array in zip(self._variables(), arrays, strict=True):
            variable.assign(array)
        self.epoch, self.seconds = meta["epoch"], meta["seconds"]
        self.history, self.device = meta["history"], meta["device"]
        return True

    def _check(self, meta, arrays):
        if meta["format"] != _FORMAT or meta["identity"] != self.identity:
            raise ValueError("it belongs to another training")
        for variable, array in zip(self._variables(), arrays, strict=True):
            if tuple(variable.shape) != array.shape:
                raise ValueError(f"shape of {variable.path} differs")

    def save(self):
        meta = {
            "format": _FORMAT,
            "identity": self.identity,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "history": self.history,
            "device": self.device,
        }
        arrays = {
            f"{i:05d}": keras.ops.convert_to_numpy(variable.value)
            for i, variable in enumerate(self._variables())
        }
        arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), "uint8")
        with paths.atomic_write(self.file, "wb") as file:
            np.savez(file, **arrays)

    def train(self, batches, epochs, validation):
        # TensorFlow traces a step a second time when the first trace creates
        # variables, as an optimiser that is not built would.
        self._variables()
        progress = _progress(self.identity["name"], self.epoch, epochs)
        try:
            while self.epoch < epochs:
                began = time.perf_counter()
                logs = self._one_epoch(batches.epoch(self.epoch))
                if validation is not None:
                    logs.update(validation(self.model))
                self.epoch += 1
                elapsed = time.perf_counter() - began
                self.seconds += elapsed
                for key, value in logs.items():
                    self.history.setdefault(key, []).append(float(value))
                self.save()
                progress.update(self.epoch, logs, elapsed)
        finally:
            progress.close()

    def _one_epoch(self, data):
        guard = _NanGuard(self, len(data))
        # Not around validation, whose batches may be of any size.
        with _scope(self.distribution):
            fitted = self.model.fit(
                data, epochs=1, shuffle=False, verbose=0, callbacks=[guard]
            )
        return {key: values[-1] for key, values in fitted.history.items()}


class _NanGuard(keras.callbacks.Callback):
    """Stop when the loss is not finite, and name the batch.

    Losses are looked at in groups: waiting for every single one would keep a
    fast device idle.
    """

    every = 25

    def __init__(self, run, num_batches):
        super().__init__()
        self.run, self.num_batches, self.waiting = run, num_batches, []

    def on_train_batch_end(self, batch, logs=None):
        self.waiting.append((batch, logs["loss"]))
        if len(self.waiting) >= self.every:
            self._look()

    def on_epoch_end(self, epoch, logs=None):
        self._look()

    def _look(self):
        for batch, loss in self.waiting:
            value = float(keras.ops.convert_to_numpy(loss))
            if not np.isfinite(value):
                run = self.run
                kept = (
                    f"The state after epoch {run.epoch} is kept in {run.file}"
                    if run.epoch
                    else "No epoch was complete, nothing is kept"
                )
                raise TrainingDiverged(
                    f"the loss of {run.identity['name']} became {value} in "
                    f"epoch {run.epoch + 1}, batch {batch + 1} of "
                    f"{self.num_batches}. {kept}. Look for extreme values in "
                    "that batch, lower the learning rate or clip the gradient"
                )
        self.waiting.clear()


def headless() -> bool:
    """Return whether output goes to a log or report, not to a person."""
    if os.environ.get("ATTNLIB_HEADLESS", "") not in ("", "0"):
        return True
    in_kernel = "ipykernel" in sys.modules
    return not in_kernel and not sys.stdout.isatty()


def _progress(name, done, total):
    return (_Lines if headless() else _Bar)(name, done, total)


def _words(logs):
    return "  ".join(
        f"{key} {float(value):.4g}"
        for key, value in logs.items()
        if not key.startswith("_")
    )


class _Lines:
    """One line per epoch."""

    def __init__(self, name, done, total):
        self.name, self.total = name, total
        if done:
            print(f"{name}: resuming after epoch {done} of {total}", flush=True)

    def update(self, epoch, logs, seconds):
        print(
            f"{self.name}: epoch {epoch}/{self.total}  {_words(logs)}  "
            f"{seconds:.1f} s",
            flush=True,
        )

    def close(self):
        pass


class _Bar:
    """One bar for the whole training."""

    def __init__(self, name, done, total):
        import tqdm

        self.bar = tqdm.tqdm(
            initial=done, total=total, desc=name, unit="epoch", file=sys.stdout
        )

    def update(self, epoch, logs, seconds):
        self.bar.set_postfix_str(_words(logs), refresh=False)
        self.bar.update(epoch - self.bar.n)

    def close(self):
        self.bar.close()
