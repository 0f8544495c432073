"""Training once: cache, resume to the bit, and everything that may go wrong."""

import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

from attnlib import _spent, paths, training
from attnlib.models.ram import RecurrentAttention
from attnlib.training import Batches, TrainingDiverged, train_or_load

EPOCHS = 4
PATIENCE_S = 900  # A busy machine takes minutes to import a backend.
KILLED_IN = 2  # The epoch, from 0, in the middle of which the child dies.


def data(size=24, seed=0):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(size, 3)).astype("float32")
    return x, x @ np.array([[1.0], [-2.0], [0.5]], "float32")


def build():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    # Eager: compiling would take longer than these trainings.
    model.compile(optimizer="adam", loss="mse", run_eagerly=True)
    return model


def run(batches=None, **options):
    options = {
        "name": "tiny",
        "config": {},
        "epochs": 2,
        "data_digest": "none",
        **options,
    }
    return train_or_load(
        options.pop("build", build),
        batches or Batches([data()], 8),
        **options,
    )


def values(model):
    found = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(variable.value) for variable in found]


def assert_same_model(one, two):
    pairs = zip(values(one), values(two), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("ATTNLIB_CACHE", str(folder))
    monkeypatch.setenv("ATTNLIB_HEADLESS", "1")
    return folder


# A training that is killed: by a child process that runs this very file.


def ram_batches(cls=Batches):
    generator = np.random.default_rng(5)
    images = generator.random((80, 10, 10, 1)).astype("float32")
    labels = generator.integers(0, 3, 80).astype("int32")
    return cls([(images, labels)], 16, seed=7)


def ram_build():
    model = RecurrentAttention(3, 4, num_classes=3, units=8, seed=2)
    model.build((None, 10, 10, 1))
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, EPOCHS * 5)
    model.compile(optimizer=keras.optimizers.Adam(schedule))
    return model


def ram_run(batches):
    return train_or_load(
        ram_build,
        batches,
        name="ram",
        config={"units": 8},
        epochs=EPOCHS,
        data_digest="random",
        seed=3,
    )


class _Deadly(Batches):
    """Kills its process in the middle of an epoch."""

    def epoch(self, number):
        if number == KILLED_IN:
            self.transform = self._count_down()
        return super().epoch(number)

    def _count_down(self):
        left = 4

        def transform(x, y, generator):
            nonlocal left
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            return x, y

        return transform


class _Slow(Batches):
    """Says when training has begun, then takes its time."""

    def epoch(self, number):
        Path(os.environ["ATTNLIB_CACHE"], "begun").touch()
        time.sleep(0.5)
        return super().epoch(number)


@contextlib.contextmanager
def child(kind):
    """A process that trains; `kind` is the name of a class above."""
    root = Path(__file__).parents[1]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, __file__, kind],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    ram_run(ram_batches({"deadly": _Deadly, "slow": _Slow}[sys.argv[1]]))


@pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL"
)
def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(
    cache, monkeypatch, capsys
):
    unbroken = ram_run(ram_batches())
    monkeypatch.setenv("ATTNLIB_CACHE", str(cache / "killed"))
    with child("deadly") as process:
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == -signal.SIGKILL
    assert out.count("ram: epoch") == KILLED_IN
    capsys.readouterr()
    resumed = ram_run(ram_batches())
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"ram: resuming after epoch {KILLED_IN} of {EPOCHS}"
    assert len(told) == 1 + EPOCHS - KILLED_IN
    assert not resumed.loaded
    assert resumed.history == unbroken.history
    assert_same_model(resumed.model, unbroken.model)


def test_two_processes_train_once(cache):
    with child("slow") as process:
        deadline = time.monotonic() + PATIENCE_S
        while not (cache / "begun").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        waited = ram_run(ram_batches())  # Waits for the other one's lock.
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert out.count("ram: epoch") == EPOCHS
    assert waited.loaded and len(waited.history["loss"]) == EPOCHS


# The cache.


def test_a_trained_model_is_loaded(capsys):
    first = run()
    assert not first.loaded and first.seconds > 0
    assert len(first.history["loss"]) == 2
    capsys.readouterr()
    second = run()
    assert second.loaded and capsys.readouterr().out == ""
    assert second.history == first.history
    assert second.seconds == first.seconds
    assert second.folder == first.folder
    assert_same_model(first.model, second.model)


def test_time_before_this_process_is_noted_for_the_records():
    _spent.forget()
    trained = run()
    assert _spent.seconds() == 0
    run()
    assert _spent.seconds() == 0
    _spent.forget()  # Another job, or another process.
    run()
    assert _spent.seconds() == pytest.approx(trained.seconds)


def test_a_loaded_model_goes_on_as_the_trained_one_would():
    """Random streams are part of what is kept."""
    if keras.config.backend() == "torch":
        pytest.skip("there Keras's dropout draws from torch's global stream")

    def noisy():
        layers = [keras.Input((3,)), keras.layers.Dropout(0.5)]
        model = keras.Sequential([*layers, keras.layers.Dense(1)])
        model.compile(optimizer="adam", loss="mse", run_eagerly=True)
        return model

    ends = []
    for _ in range(2):
        model = run(build=noisy).model
        x, y = data()
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        ends.append(model)
    assert_same_model(*ends)


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"units": 2}},
        {"epochs": 1},
        {"seed": 1},
        {"version": 2},
        {"data_digest": "other"},
        {"name": "other"},
    ],
)
def test_what_shapes_the_result_has_a_folder_of_its_own(change):
    first, other = run(epochs=1, seed=0), run(**{"epochs": 1, **change})
    assert (first.folder == other.folder) == (change == {"epochs": 1})
    assert other.loaded == (change == {"epochs": 1})


def test_the_seed_is_set_before_the_model_is_built():
    weights = [
        values(run(seed=seed, name=name).model)[0]
        for seed, name in ((1, "a"), (1, "b"), (2, "a"))
    ]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


@contextlib.contextmanager
def told(pattern):
    """Expect one warning of ours; leave those of Keras to the filters."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", category=UserWarning)
        yield
    (warning,) = caught
    assert re.search(pattern, str(warning.message))


def _truncate(file):
    file.write_bytes(file.read_bytes()[:-200])


def _flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 0xFF
    file.write_bytes(bytes(content))


def _no_meta(file):
    with open(file, "wb") as stream:
        np.savez(stream, meta=np.zeros(3, "uint8"))


def _listed(file):
    with open(file, "wb") as stream:
        np.savez(stream, meta=np.frombuffer(b"[1]", "uint8"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"no archive"),
        _truncate,
        _flip,
        _no_meta,
        _listed,
    ],
    ids=["empty", "text", "truncated", "flipped", "no meta", "odd meta"],
)
def test_a_damaged_state_is_set_aside_and_trained_anew(damage):
    good = run()
    file = Path(good.folder, "state.npz")
    damage(file)
    with told("state.npz is damaged.*corrupt"):
        again = run()
    assert not again.loaded
    assert_same_model(good.model, again.model)
    assert file.with_name("state.npz.corrupt").exists()
    assert run().loaded


def test_the_state_of_another_training_is_not_used():
    one, two = run(), run(seed=1)
    os.replace(Path(one.folder, "state.npz"), Path(two.folder, "state.npz"))
    with told("belongs to another training"):
        again = run(seed=1)
    assert_same_model(two.model, again.model)


def test_a_cache_that_cannot_be_made_is_one_clear_error(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("ATTNLIB_CACHE", str(file))
    with pytest.raises(OSError, match="cannot write .*set ATTNLIB_CACHE"):
        run()


def test_a_full_disk_is_one_clear_error_and_keeps_what_was_there(monkeypatch):
    def full(*arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    first = run(epochs=2, validation=None)
    file = Path(first.folder, "state.npz")
    file.unlink()
    calls = []
    savez = np.savez

    def second_fails(*arguments, **named):
        calls.append(1)
        (savez if len(calls) == 1 else full)(*arguments, **named)

    monkeypatch.setattr(np, "savez", second_fails)
    with pytest.raises(OSError, match="No space left.*set ATTNLIB_CACHE"):
        run(epochs=2)
    monkeypatch.undo()
    monkeypatch.setenv("ATTNLIB_HEADLESS", "1")
    monkeypatch.setenv("ATTNLIB_CACHE", str(file.parents[2]))
    assert sorted(p.name for p in file.parent.iterdir()) == [
        "lock",
        "state.npz",
    ]
    resumed = run(epochs=2)
    assert not resumed.loaded
    assert_same_model(first.model, resumed.model)


@pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="how TensorFlow traces"
)
def test_a_step_is_traced_once():
    traced = []

    def loss(wanted, found):
        traced.append(found)
        return keras.ops.square(wanted - found)

    def compiled():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("adam", loss)
        return model

    run(build=compiled, name="traced")
    assert len(traced) == 1


def test_at_least_one_epoch():
    with pytest.raises(ValueError, match="epochs of at least 1.*0"):
        run(epochs=0)


def test_validation_is_kept_in_the_history():
    def validation(model):
        return {"val_size": float(len(model.layers))}

    assert run(validation=validation).history["val_size"] == [1.0, 1.0]


def test_names_with_an_underscore_are_kept_and_not_printed(capsys):
    trained = run(
        name="quiet",
        validation=lambda model: {"_theta": 0.5, "val_size": 1.0},
    )
    assert trained.history["_theta"] == [0.5, 0.5]
    told = capsys.readouterr().out
    assert "val_size" in told and "theta" not in told


def test_the_format_of_the_state_file_is_the_published_one():
    """Files of earlier trainings must stay readable."""
    with np.load(Path(run().folder, "state.npz")) as state:
        meta = json.loads(state["meta"].tobytes())
        names = sorted(state.files)
    assert meta["format"] == 1
    assert set(meta) == {
        "format",
        "identity",
        "epoch",
        "seconds",
        "history",
        "device",
    }
    assert names == [*(f"{i:05d}" for i in range(len(names) - 1)), "meta"]


# Losses that are not finite.


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_names_its_batch(bad):
    class Spoilt(Batches):
        def epoch(self, number):
            def spoil(x, y, generator):
                return x, y + bad

            self.transform = spoil if number == 1 else None
            return super().epoch(number)

    with pytest.raises(TrainingDiverged) as error:
        run(Spoilt([data()], 8), epochs=3)
    message = str(error.value)
    assert f"loss of tiny became {bad}" in message
    assert "epoch 2, batch 1 of 3" in message
    assert "state after epoch 1 is kept in" in message
    good = run(epochs=3)  # The next one starts from what was kept.
    assert len(good.history["loss"]) == 3


def test_the_first_bad_batch_is_named_among_good_ones():
    class Spoilt(Batches):
        def epoch(self, number):
            epoch = super().epoch(number)
            bad = epoch.plan[30][1][0]

            def spoil(x, y, generator):
                wrong = np.isclose(x, self.groups[0][0][""][bad]).all(axis=1)
                return x, np.where(wrong[:, None], np.nan, y)

            self.transform = spoil
            return epoch

    with pytest.raises(TrainingDiverged, match="batch 31 of 40") as error:
        run(Spoilt([data(80)], 2))
    assert "No epoch was complete" in str(error.value)


# Progress.


def test_headless_runs_print_one_line_per_epoch(capsys):
    run(epochs=3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        f"tiny: epoch {n}/3" for n in (1, 2, 3)
    ]
    assert all("loss" in line and line.endswith(" s") for line in lines)


def test_people_see_one_bar(capsys, monkeypatch):
    monkeypatch.setenv("ATTNLIB_HEADLESS", "0")
    monkeypatch.setattr(training, "headless", lambda: False)
    run(epochs=3)
    out = capsys.readouterr().out
    assert "3/3" in out and "loss" in out
    assert "epoch 1/3" not in out
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("variable", "kernel", "terminal", "expected"),
    [
        ("1", True, True, True),
        ("", True, False, False),
        ("0", False, True, False),
        ("", False, False, True),
    ],
)
def test_headless(variable, kernel, terminal, expected, monkeypatch):
    monkeypatch.setenv("ATTNLIB_HEADLESS", variable)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    if kernel:
        monkeypatch.setitem(
            sys.modules, "ipykernel", types.ModuleType("ipykernel")
        )
    monkeypatch.setattr(
        sys, "stdout", types.SimpleNamespace(isatty=lambda: terminal)
    )
    assert training.headless() is expected


# Batches.


def rows(epoch):
    return [epoch[i][0][:, 0].tolist() for i in range(len(epoch))]


def numbered(size):
    x = np.arange(size, dtype="float32")[:, None]
    return x, x


def test_the_order_follows_seed_and_epoch_alone():
    batches = Batches([numbered(20)], 6, seed=1)
    first = rows(batches.epoch(3))
    rows(batches.epoch(0))
    assert rows(batches.epoch(3)) == first
    assert rows(Batches([numbered(20)], 6, seed=1).epoch(3)) == first
    assert rows(batches.epoch(4)) != first
    assert rows(Batches([numbered(20)], 6, seed=2).epoch(3)) != first


def test_batches_are_full_and_leave_out_others_in_every_epoch():
    batches = Batches([numbered(20)], 6)
    left = []
    for number in range(3):
        seen = sum(rows(batches.epoch(number)), [])
        assert len(seen) == 18 == len(set(seen))
        left.append(frozenset(range(20)) - set(seen))
    assert len(set(left)) > 1


def test_x_and_y_stay_together():
    x, y = data()
    epoch = Batches([(x, y)], 8).epoch(0)
    for i in range(len(epoch)):
        one, two = epoch[i]
        np.testing.assert_allclose(two[:, 0], one @ [1, -2, 0.5], atol=1e-6)


def test_every_group_comes_early_and_alone():
    wide = np.full((3, 2), 7.0), np.ones((3, 1))
    groups = [numbered(40), numbered(9), wide]
    epoch = Batches(groups, 4).epoch(0)
    sizes = [epoch[i][0].shape for i in range(len(epoch))]
    assert sorted(sizes) == [(3, 2)] + [(4, 1)] * 12
    assert sorted(group for group, _ in epoch.plan[:3]) == [0, 1, 2]


def test_a_transform_has_random_numbers_of_its_own():
    def jitter(x, y, generator):
        return x + generator.random(x.shape), y

    batches = Batches([numbered(20)], 5, seed=1, transform=jitter)
    forward = [batches.epoch(1)[i][0] for i in range(4)]
    backward = [batches.epoch(1)[i][0] for i in reversed(range(4))][::-1]
    np.testing.assert_array_equal(forward, backward)
    assert len(np.unique(np.concatenate(forward) % 1)) == 20


def test_buckets_of_many_sizes_train_together():
    """The first two batches must not fix a size for all of them."""

    def bucket(source, target):
        x = np.ones((6, source), "float32"), np.ones((6, target), "float32")
        return dict(zip(("source", "target"), x, strict=True)), x[1]

    def build():
        source = keras.Input((None,), name="source")
        target = keras.Input((None,), name="target")
        mean = keras.ops.mean(source, axis=1, keepdims=True)
        scale = keras.layers.Dense(1)(mean)
        model = keras.Model(
            {"source": source, "target": target}, target * scale
        )
        model.compile(optimizer="adam", loss="mse")
        return model

    # Sizes alike in the first two of them, and not in the others.
    groups = [bucket(3, 5), bucket(4, 5), bucket(4, 6), bucket(6, 6)]
    result = run(Batches(groups, 3), build=build, epochs=1)
    assert np.isfinite(result.history["loss"]).all()


@pytest.mark.tensorflow
def test_buckets_that_tensorflow_cannot_take_are_named():
    def group(*sizes):
        x = {str(i): np.ones((4, size)) for i, size in enumerate(sizes)}
        return x, np.ones(4)

    groups = [group(3, 5, 1), group(4, 5, 1), group(3, 6, 1)]
    Batches([*groups, group(4, 6, 2), group(3, 5, 1)], 2)
    with pytest.raises(ValueError, match="differ in every size"):
        Batches([*groups, group(3, 5, 2)], 2)


@pytest.mark.parametrize(
    ("groups", "size", "message"),
    [
        ([], 8, "at least one group"),
        ([numbered(4)], 0, "batch_size of at least 1.*0"),
        ([(np.ones((4, 1)), np.ones(3))], 2, "arrays of one length"),
        ([(np.ones((0, 1)), np.ones(0))], 2, "length of at least 1"),
        ([numbered(4), (np.ones((4, 1)), np.ones(4))], 2, "names and ranks"),
    ],
)
def test_bad_batches_are_named(groups, size, message):
    with pytest.raises(ValueError, match=message):
        Batches(groups, size)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_images_that_are_not_finite_are_named(bad):
    images = np.zeros((5, 4, 4, 1), "float32")
    images[3, 1, 2] = images[4, 0, 0] = bad
    with pytest.raises(
        ValueError, match=r"infinity in x, first in example 3 \(2 examples"
    ):
        Batches([(images, np.zeros(5, "int32"))], 2)
    with pytest.raises(ValueError, match="in image, first in example 3"):
        Batches([({"image": images}, np.zeros(5, "int32"))], 2)


def test_the_cache_of_models_lies_in_the_cache(cache):
    assert Path(run(epochs=1).folder).parent == cache / "models"
    assert paths.cache_dir() == cache


def test_the_rate_rises_and_falls():
    settings = types.SimpleNamespace(learning_rate=0.1, warmup_steps=50)
    for steps, peak in ((1000, 50), (100, 10)):
        rate = training.warmed_adam(settings, steps)._learning_rate
        found = [float(rate(step)) for step in (0, peak, steps)]
        np.testing.assert_allclose(found, [0, 0.1, 0], atol=1e-6)
        assert float(rate(peak // 2)) == pytest.approx(0.05)
