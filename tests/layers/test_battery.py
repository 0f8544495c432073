"""What every layer must do, run on each entry of cases.py."""

import inspect
import json

import keras
import numpy as np
import pytest
from cases import CASES
from numerics import dtype_of, run, to_numpy, variable_gradients

pytestmark = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
PADDING = 2


def call(layer, inputs, **options):
    """Call a layer with tensors by position; return a tuple of outputs.

    Those behind a mask in the layer's signature are passed by name.
    """
    names = list(inspect.signature(layer.call).parameters)
    pairs = zip(names, inputs, strict=False)
    count = sum(one == other for one, other in pairs)
    values = list(inputs.values())[:count]
    named = {name: inputs[name] for name in list(inputs)[count:]}
    out = layer(*values, **named, **options)
    return tuple(out) if isinstance(out, (tuple, list)) else (out,)


def compute(layer, inputs, masks=None):
    """Do the same for a layer that need not be called eagerly."""
    if not layer.built:
        layer.build(**{f"{k}_shape": v.shape for k, v in inputs.items()})
    values = *inputs.values(), *(masks or {}).values()

    def named(*tensors):
        names = *inputs, *(masks or {})
        pairs = dict(zip(names, tensors, strict=True))
        masked = {name: pairs.pop(name) for name in masks or {}}
        return call(layer, pairs, **masked)

    return run(named, *values)


def functional(case, layer, free=False):
    """Return a functional model around a layer, all outputs concatenated."""
    inputs = {}
    for name, value in case.inputs(2).items():
        shape = list(value.shape[1:])
        for axis in case.free_axes.get(name, ()) if free else ():
            shape[axis - 1] = None
        inputs[name] = keras.Input(shape, name=name, dtype="float32")
    return keras.Model(list(inputs.values()), list(call(layer, inputs)))


def predict(model, inputs):
    out = model.predict(list(inputs.values()), verbose=0)
    return out if isinstance(out, list) else [out]


def gradients_of(layer, inputs, masks):
    """Return the gradients of all outputs to weights and inputs, by name."""
    variables = {
        name: keras.Variable(value, name=name) for name, value in inputs.items()
    }

    def loss():
        tensors = {name: v.value for name, v in variables.items()}
        outputs = call(layer, tensors, **masks)
        return sum(keras.ops.sum(keras.ops.square(out)) for out in outputs)

    every = [*layer.trainable_variables, *variables.values()]
    return variable_gradients(loss, every)


def with_entries(layer, inputs, name):
    """Return which outputs have a column per entry of an input."""
    shapes = {f"{k}_shape": v.shape for k, v in inputs.items()}
    before = layer.compute_output_shape(**shapes)
    batch, length, width = inputs[name].shape
    shapes[f"{name}_shape"] = (batch, length + 1, width)
    after = layer.compute_output_shape(**shapes)
    pairs = enumerate(zip(before, after, strict=True))
    return [index for index, (one, other) in pairs if one != other]


def columns(tensor, length):
    """Split the last axis: entries, padding behind them, and the rest."""
    tensor = to_numpy(tensor)
    end = length + PADDING
    return tensor[..., :length], tensor[..., length:end], tensor[..., end:]


def agree(found, expected, **tolerance):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            to_numpy(one), to_numpy(other), **{"atol": 1e-5, **tolerance}
        )


def test_config_round_trip(case):
    layer = case.make(name="kept")
    config = layer.get_config()
    again = type(layer).from_config(json.loads(json.dumps(config)))
    assert again.get_config() == config
    arguments = set(inspect.signature(type(layer).__init__).parameters)
    assert arguments - {"self", "kwargs"} <= set(config)
    registered = keras.saving.get_registered_name(type(layer))
    assert registered == f"attnlib>{type(layer).__name__}"


def test_weights(case):
    layer = case.make()
    shapes = {f"{k}_shape": v.shape for k, v in case.inputs(2).items()}
    layer.build(**shapes)
    assert layer.built
    found = tuple((w.name, tuple(w.shape)) for w in layer.weights)
    assert found == case.weights
    assert [w.shape for w in layer.get_weights()] == [s for _, s in found]
    assert len(layer.trainable_weights) == len(found)


def test_symbolic_equals_eager(case):
    layer, inputs = case.make(), case.inputs(2)
    shapes = {f"{k}_shape": v.shape for k, v in inputs.items()}
    eager = call(layer, inputs)
    assert [tuple(o.shape) for o in eager] == [(2, *s) for s in case.outputs]
    computed = layer.compute_output_shape(**shapes)
    computed = computed if isinstance(computed[0], tuple) else (computed,)
    assert list(computed) == [(2, *s) for s in case.outputs]
    model = functional(case, layer)
    for found, shape in zip(model.outputs, case.outputs, strict=True):
        assert tuple(found.shape) == (None, *shape)
        assert found.dtype == "float32"
    agree(predict(model, inputs), eager)


def test_shapes_come_in_call_order(case):
    layer, inputs = case.make(), case.inputs(2)
    names = [f"{name}_shape" for name in inputs]
    for method in (layer.build, layer.compute_output_shape):
        assert list(inspect.signature(method).parameters) == names
    arguments = list(inspect.signature(layer.call).parameters)
    tensors = [name for name in arguments if not name.endswith("_mask")]
    assert tensors[: len(inputs)] == list(inputs)
    for name in case.masked:
        assert f"{name}_mask" in arguments


def test_unknown_batch_and_lengths(case):
    layer = case.make()
    model = functional(case, layer, free=True)
    for batch in (1, 4):
        inputs = case.inputs(batch)
        agree(predict(model, inputs), compute(layer, inputs))


def test_examples_are_independent(case):
    layer, inputs = case.make(), case.inputs(3)
    whole = compute(layer, inputs)
    last = compute(layer, {k: v[2:] for k, v in inputs.items()})
    agree(last, [out[2:] for out in whole])


def test_empty_batch(case):
    if case.convolutions:
        pytest.skip("TensorFlow's convolutions refuse an empty batch")
    outputs = compute(case.make(), case.inputs(0))
    assert [tuple(o.shape) for o in outputs] == [(0, *s) for s in case.outputs]


def test_keras_file_round_trip(case, tmp_path):
    model, inputs = functional(case, case.make()), case.inputs(2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    agree(predict(loaded, inputs), predict(model, inputs), rtol=0, atol=0)


def test_one_step_of_fit(case):
    """Every weight moves, the loss is finite, on the default settings."""
    layer, inputs = case.make(), case.inputs(4)
    tensors = {k: keras.Input(v.shape[1:]) for k, v in inputs.items()}
    fed = dict(tensors)
    if not case.detached:
        # A Dense in front gives layers without weights something to train.
        first = next(iter(tensors))
        front = keras.layers.Dense(tensors[first].shape[-1])
        fed[first] = front(tensors[first])
    outputs = call(layer, fed)
    flat = [keras.layers.Flatten()(out) for out in outputs]
    merged = flat[0] if len(flat) == 1 else keras.layers.Concatenate()(flat)
    model = keras.Model(list(tensors.values()), keras.layers.Dense(1)(merged))
    model.compile("adam", "mse")
    before = [w.copy() for w in model.get_weights()]
    target = np.linspace(-1, 1, 4).astype("float32")[:, None]
    history = model.fit(list(inputs.values()), target, batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.isfinite(new).all()
        assert (old != new).any()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(case, policy):
    layer, inputs = case.make(dtype=policy), case.inputs(2)
    outputs = compute(layer, inputs)
    for out in outputs:
        assert dtype_of(out) == policy.removeprefix("mixed_")
    for weight in layer.weights:
        assert weight.dtype == "float32"
    full = case.make(dtype="float32")
    full.build(**{f"{k}_shape": v.shape for k, v in inputs.items()})
    full.set_weights(layer.get_weights())
    expected = compute(full, inputs)
    agree(
        [keras.ops.cast(out, "float32") for out in outputs],
        expected,
        atol=0.05,
    )


def test_dtype_policy_of_the_layer_decides(case):
    inputs = {k: v.astype("float64") for k, v in case.inputs(2).items()}
    for dtype in ("float32", "float16"):
        for out in compute(case.make(dtype=dtype), inputs):
            assert dtype_of(out) == dtype


def test_same_seed_same_result(case):
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        results.append(to_numpy(compute(case.make(), case.inputs(2))))
    agree(*results, rtol=0, atol=0)


def test_stores_nothing_of_a_call(case):
    layer = case.make()
    call(layer, case.inputs(2))
    before = {k: id(v) for k, v in vars(layer).items()}
    call(layer, case.inputs(2))
    assert {k: id(v) for k, v in vars(layer).items()} == before


def test_masks_are_found_by_themselves(case):
    """An embedding with mask_zero and an explicit mask do the same."""
    assert case.make().supports_masking
    if not case.masked:
        return
    layer, inputs = case.make(), case.inputs(2)
    for name in case.masked:
        _, length, width = inputs[name].shape
        ids = np.arange(1, 2 * length + 1).reshape(2, length)
        ids[0, length // 2 :] = 0
        embedding = keras.layers.Embedding(20, width, mask_zero=True)
        tensor = embedding(ids)
        automatic = call(layer, {**inputs, name: tensor})
        plain = {**inputs, name: to_numpy(tensor)}
        explicit = call(layer, plain, **{f"{name}_mask": ids != 0})
        agree(automatic, explicit, rtol=0, atol=0)
        ignored = call(layer, plain)
        changes = [
            np.abs(to_numpy(one - other)).max()
            for one, other in zip(ignored, explicit, strict=True)
        ]
        assert max(changes) > 1e-4


def test_the_mask_of_one_input_is_not_passed_on_as_that_of_outputs(case):
    """Only a mask of the first axes of an output may travel with it."""
    layer, inputs = case.make(), case.inputs(2)
    for name in case.masked:
        _, length, width = inputs[name].shape
        embedding = keras.layers.Embedding(20, width, mask_zero=True)
        tensor = embedding(np.ones((2, length), int))
        for out in call(layer, {**inputs, name: tensor}):
            assert getattr(out, "_keras_mask", None) is None


def test_masks_must_be_boolean_and_fit(case):
    layer, inputs = case.make(), case.inputs(2)
    for name in case.masked:
        shape = inputs[name].shape[:2]
        for dtype in ("int32", "float32"):
            with pytest.raises(ValueError, match="boolean.*Received.*" + dtype):
                call(layer, inputs, **{f"{name}_mask": np.ones(shape, dtype)})
        for bad in ((shape[0], shape[1] + 1), (shape[0] + 1, shape[1])):
            with pytest.raises(ValueError, match=f"{name}_mask"):
                call(layer, inputs, **{f"{name}_mask": np.ones(bad, bool)})
        with pytest.raises(ValueError, match=f"{name}_mask.*rank"):
            call(layer, inputs, **{f"{name}_mask": np.ones(shape[1], bool)})


@pytest.mark.parametrize("filler", [1e4, np.nan])
def test_padding_never_changes_the_result(case, filler):
    """Neither an output nor a gradient, to weights or to inputs."""
    layer, inputs = case.make(), case.inputs(2)
    for name in case.masked:
        length = inputs[name].shape[1]
        mask = np.ones((2, length), bool)
        mask[1, 2:] = False
        masks = {f"{name}_mask": mask}
        padded, padded_names = dict(inputs), (name, *case.aligned.get(name, ()))
        for other in padded_names:
            junk = np.full_like(inputs[other][:, :PADDING], filler)
            padded[other] = np.concatenate([inputs[other], junk], 1)
        no = np.zeros((2, PADDING), bool)
        padded_masks = {f"{name}_mask": np.concatenate([mask, no], 1)}
        found = compute(layer, padded, padded_masks)
        expected = list(compute(layer, inputs, masks))
        found = list(found)
        for index in with_entries(layer, inputs, name):
            entries, padding, rest = columns(found[index], length)
            assert not padding.any()
            found[index] = np.concatenate([entries, rest], -1)
        agree(found, expected)
        found = gradients_of(layer, padded, padded_masks)
        for path, gradient in gradients_of(layer, inputs, masks).items():
            if path in padded_names:
                assert not found[path][:, length:].any()
                assert not found[path][1, 2:].any()
                found[path] = found[path][:, :length]
            np.testing.assert_allclose(
                found[path], gradient, rtol=1e-4, atol=1e-4, err_msg=path
            )


def test_padding_of_keys_that_were_computed_before_is_harmless(case):
    layer, inputs = case.make(), case.inputs(2)
    if "keys" not in inspect.signature(layer.call).parameters:
        return
    call(layer, inputs)  # builds it
    name = next(iter(case.masked))
    mask = np.ones(inputs[name].shape[:2], bool)
    mask[:, -1] = False
    padded = {**inputs, name: np.where(mask[..., None], inputs[name], np.nan)}

    def loss(fed):
        keys = layer.project(fed[name])
        masks = {f"{name}_mask": mask}
        out = call(layer, fed, keys=keys, training=False, **masks)[0]
        return keras.ops.sum(keras.ops.square(out))

    assert np.isclose(to_numpy(loss(padded)), to_numpy(loss(inputs)))
    # As a constant: what projects NaN has no finite gradient of its own.
    keys = to_numpy(layer.project(padded[name]))

    def of_query():
        masks = {f"{name}_mask": mask}
        out = call(layer, padded, keys=keys, training=False, **masks)[0]
        return keras.ops.sum(keras.ops.square(out))

    gradients = variable_gradients(of_query, layer.trainable_variables)
    assert all(np.isfinite(g).all() for g in gradients.values())


def test_rows_without_any_allowed_entry_are_zero(case):
    """Weights are, and no gradient of the row's is NaN or infinite."""
    layer, inputs = case.make(), case.inputs(2)
    for name in case.masked:
        length = inputs[name].shape[1]
        mask = np.ones((2, length), bool)
        mask[1] = False
        masks = {f"{name}_mask": mask}
        outputs = to_numpy(compute(layer, inputs, masks))
        for out in outputs:
            assert np.isfinite(out).all()
        for index in with_entries(layer, inputs, name):
            assert outputs[index][0].any()
            assert not columns(outputs[index][1], length)[0].any()
        for gradient in gradients_of(layer, inputs, masks).values():
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("length", [0, 1])
def test_inputs_of_one_entry_and_of_none(case, length):
    for name in case.masked:
        inputs = case.inputs(2)
        for other in (name, *case.aligned.get(name, ())):
            inputs[other] = inputs[other][:, :length]
        layer = case.make()
        plain = compute(layer, inputs)
        for out in plain:
            assert np.isfinite(to_numpy(out)).all()
        mask = np.ones((2, length), bool)
        agree(compute(layer, inputs, {f"{name}_mask": mask}), plain)


def test_integers_are_refused(case):
    for name in case.inputs(2):
        inputs = case.inputs(2)
        inputs[name] = np.ones(inputs[name].shape, "int32")
        with pytest.raises(ValueError, match=f"{name}.*floating.*Received"):
            call(case.make(), inputs)


def test_wrong_ranks_are_refused(case):
    for name in case.inputs(2):
        inputs = case.inputs(2)
        inputs[name] = inputs[name][..., None, None]
        layer = case.make()
        with pytest.raises(ValueError, match=f"{name}.*rank.*Received"):
            call(layer, inputs)
        with pytest.raises(ValueError, match=f"{name}.*rank.*Received"):
            layer.compute_output_shape(
                **{f"{k}_shape": v.shape for k, v in inputs.items()}
            )


def test_different_batch_sizes_are_refused(case):
    inputs = case.inputs(3)
    for name in list(inputs)[1:]:
        with pytest.raises(ValueError, match=f"batch sizes.*{name}: 2"):
            call(case.make(), {**inputs, name: inputs[name][:2]})


def test_what_is_no_tensor_is_refused(case):
    layer, inputs = case.make(), case.inputs(2)
    call(layer, inputs)
    for name, parameter in inspect.signature(layer.call).parameters.items():
        if name in inputs and parameter.default is parameter.empty:
            with pytest.raises(ValueError, match=f"{name}.*tensor.*NoneType"):
                call(layer, {**inputs, name: None})


def test_unknown_widths_cannot_be_built(case):
    """A layer with weights says which size it needs to know."""
    shapes = {f"{k}_shape": v.shape for k, v in case.inputs(2).items()}
    refused = []
    for name, shape in shapes.items():
        unknown = {**shapes, name: (*shape[:-1], None)}
        try:
            case.make().build(**unknown)
        except ValueError as error:
            assert "expected" in str(error) and "Received" in str(error)
            refused.append(name)
    assert refused or not case.weights
