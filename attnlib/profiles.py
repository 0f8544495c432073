"""Profiles: how deep a notebook goes, as plain data.

`smoke` proves that a notebook runs, `quick` lets its claims be decided on a
laptop, `paper` is the replication. Standard library only, so that the
workflow can read it without a backend.
"""

import dataclasses
import difflib
import os
from dataclasses import dataclass
from typing import ClassVar

NAMES = ("smoke", "quick", "paper")

NOTEBOOKS = {
    "00": "00_motivation",
    "01": "01_encoder_decoder",
    "02": "02_bahdanau_attention",
    "03": "03_show_and_tell",
    "04": "04_soft_attention",
    "05": "05_hard_attention",
    "06": "06_recurrent_glimpses",
    "07": "07_draw",
    "08": "08_handwriting",
    "09": "09_spatial_transformer",
    "10": "10_fine_grained",
    "11": "11_visual_question_answering",
    "12": "12_action_recognition",
    "13": "13_saliency",
    "14": "14_attention_to_scale",
    "15": "15_semantic_attention",
    "16": "16_scoreboard",
}

# Notebooks that read what the others recorded: they come last and have no
# seeds of their own.
READERS = ("16",)


@dataclass(frozen=True)
class Settings:
    """What every notebook has: which run this is.

    `may_be_zero` names the numbers for which 0 has a meaning, such as none.
    """

    may_be_zero: ClassVar[tuple] = ()

    notebook: str
    profile: str
    seed: int
    setting: str | None


@dataclass(frozen=True)
class Motivation(Settings):
    """Notebook 00: cost against image size.

    Sizes are pixels a side; `repeats` is the number of timed calls and
    `batch_sizes` are the batches in which small images are timed.
    """

    glimpse_sizes: tuple = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
    conv_sizes: tuple = (64, 128, 256, 512, 1024, 2048)
    batch_sizes: tuple = (1, 8)
    repeats: int = 15


@dataclass(frozen=True)
class EncoderDecoder(Settings):
    """Notebook 01: words backwards through one vector.

    `examples` training words have `shortest` to `longest` letters; the models
    with `-short` in their names train on those of up to `short_longest`.
    `held_out` is the number of words for validation and for test. The
    encoder-decoder's vector has `decoder_units` numbers, and in further ones
    each of `widths`. `number_words` are the fields of notebook 02's quick
    profile that differ for number words, as pairs of name and value.
    """

    may_be_zero: ClassVar[tuple] = ("warmup_steps",)

    models: tuple = ("search", "encdec", "search-short", "encdec-short")
    examples: int = 8000
    held_out: int = 950
    shortest: int = 2
    longest: int = 20
    short_longest: int = 10
    embedding_size: int = 32
    encoder_units: int = 32
    decoder_units: int = 64
    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 6e-3
    warmup_steps: int = 50
    buckets: int = 2
    widths: tuple = (16, 32)
    number_words: tuple = (
        ("examples", 3000),
        ("numbers", 3),
        ("held_out", 300),
    )


@dataclass(frozen=True)
class Translation(Settings):
    """Notebook 02: translation with and without attention.

    `examples` is the number of training sentences. Sentences of number words
    are lists of 1 to `numbers` numbers; the models with `-short` in their
    names train on those of up to `short_numbers`. `held_out` is the number of
    sentences for validation and for test.
    """

    may_be_zero: ClassVar[tuple] = (
        "dropout",
        "label_smoothing",
        "warmup_steps",
    )

    dataset: str = "number_words"
    source: str = "en"
    target: str = "de"
    models: tuple = ("search", "encdec", "search-short", "encdec-short")
    examples: int = 4000
    numbers: int = 4
    short_numbers: int = 2
    held_out: int = 400
    vocabulary_size: int = 8000
    embedding_size: int = 32
    encoder_units: int = 32
    decoder_units: int = 64
    dropout: float = 0.0
    label_smoothing: float = 0.0
    epochs: int = 7
    batch_size: int = 64
    learning_rate: float = 6e-3
    warmup_steps: int = 50
    buckets: int = 2
    beam_size: int = 5


@dataclass(frozen=True)
class RecurrentGlimpses(Settings):
    """Notebook 06: the recurrent attention model.

    `glimpse_counts` are the numbers of glimpses to train with, `policies` are
    where the glimpses of the largest count may come from. While training, the
    noise of locations falls from `exploration_std` to `location_std`; 0 means
    that it stays. `weight_decay` is apart from the gradient, biases excluded.
    `canvas` is the side in pixels of what the digits are scattered on, 0 for
    the digits themselves, and `clutter` the number of pieces beside each.
    `task` is what to name: `digits`, or `pairs` or `sums` of two digits.

    `rivals` are networks that see the whole image, and `several` those that
    name two digits at once; `rivals_on` and `several_on` are the fields that
    differ for them, as pairs of name and value. What begins with `catch_` is
    of the game; without `catch_epochs` the agent stays untrained, without
    `catch_clip_norm` its gradient has any norm.
    """

    may_be_zero: ClassVar[tuple] = (
        "canvas",
        "clutter",
        "copies",
        "exploration_std",
        "weight_decay",
        "catch_epochs",
    )

    dataset: str = "digits28"
    task: str = "digits"
    canvas: int = 0
    clutter: int = 0
    num_glimpses: int = 6
    glimpse_counts: tuple = (2, 4, 6)
    policies: tuple = ("learned", "random", "centre")
    glimpse_size: int = 8
    scales: int = 1
    units: int = 256
    location_std: float = 0.05
    exploration_std: float = 0.0
    copies: int = 10
    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    samples: int = 1
    rivals: tuple = ()
    rivals_on: tuple = ()
    several: tuple = ()
    several_on: tuple = (
        ("task", "pairs"),
        ("canvas", 60),
        ("clutter", 0),
        ("glimpse_size", 16),
        ("scales", 2),
        ("num_glimpses", 4),
    )
    catch_side: int = 10
    catch_scales: int = 2
    catch_units: int = 64
    catch_location_std: float = 0.2
    catch_batch_size: int = 128
    catch_learning_rate: float = 1e-3
    catch_clip_norm: float = 0.0
    catch_epochs: int = 0


@dataclass(frozen=True)
class SpatialTransformers(Settings):
    """Notebook 09: spatial transformers on distorted digits.

    `models` are `<task>/<model>`, for example `tc/st-cnn-aff`: a task of
    `attnlib.models.warped_digits` and what its `parse` reads. All networks
    have about `parameters` weights. `localization_rate` is the factor of the
    learning rate in the transformers. `canvas` is the side of cluttered images
    in pixels. Each test digit is distorted `test_copies` times.
    `colocalization_digits` are searched for, among each number of
    `colocalization_pieces` of clutter, and tested on `colocalization_images`
    images; none, no co-localisation. Its encoder has `filters` and
    `parameters` and learns for `encoder_epochs`.
    """

    may_be_zero: ClassVar[tuple] = ("copies",)

    dataset: str = "digits28"
    models: tuple = ()
    copies: int = 0
    parameters: int = 400_000
    filters: int = 32
    epochs: int = 30
    addition_epochs: int = 60
    batch_size: int = 256
    learning_rate: float = 1e-3
    localization_rate: float = 1.0
    canvas: int = 60
    test_copies: int = 1
    colocalization_digits: tuple = ()
    colocalization_pieces: tuple = (0, 16)
    colocalization_images: int = 1000
    colocalization_batch: int = 64
    colocalization_epochs: int = 10
    colocalization_rate: float = 1e-3
    encoder_epochs: int = 3


@dataclass(frozen=True)
class FineGrained(Settings):
    """Notebook 10: spatial transformers side by side.

    `models` are kinds of `attnlib.models.fine_grained.parse`. Of `examples`
    glyphs, or of all photographs of a real data set, all are learned;
    `held_out` glyphs are for validation and as many for test. Images are
    `side` pixels high and wide; a window is `scale` of that and read at `crop`
    pixels. The reader has `convolutions`, the first of `filters`, and gives
    `units` features. `overlap_penalty` is the weight of what windows share
    in the loss. Over the first `habit_share` of the updates the windows' habits
    fade and their maps get `sharpness` times as sharp; 0, habits stay.
    `localization_rate` is the factor of the learning rate in the localisation
    network.
    """

    may_be_zero: ClassVar[tuple] = (
        "dropout",
        "overlap_penalty",
        "habit_share",
    )

    dataset: str = "two_part_glyphs"
    models: tuple = ("none", "1-st", "2-st")
    side: int = 56
    examples: int = 3000
    held_out: int = 600
    scale: float = 0.4
    crop: int = 20
    head: str = "expected"
    filters: int = 16
    convolutions: int = 3
    units: int = 64
    dropout: float = 0.0
    localization_filters: int = 8
    localization_pool: int = 2
    overlap_penalty: float = 1.0
    sharpness: float = 4.0
    habit_share: float = 0.5
    localization_rate: float = 1.0
    epochs: int = 14
    batch_size: int = 32
    learning_rate: float = 3e-3


@dataclass(frozen=True)
class Draw(Settings):
    """Notebook 07: DRAW, which draws and reads.

    `step_counts` are the numbers of steps to train with, `windows` whether
    with attention (1), without (0) or both, the latter at the largest count
    only. `clip_norm` limits the gradient's norm. `importance_samples` is the
    number of samples of the importance-weighted bound, for
    `importance_images` test images. Fields with `pair_` concern two digits on
    one canvas, with `reader_` the reading of cluttered digits, with `judge_`
    the classifier that looks at samples; 0 epochs leave a part out.
    """

    may_be_zero: ClassVar[tuple] = (
        "copies",
        "epochs",
        "judge_epochs",
        "pair_epochs",
        "reader_epochs",
        "clutter_pieces",
    )

    dataset: str = "digits28"
    num_steps: int = 8
    step_counts: tuple = (1, 4, 8)
    windows: tuple = (1, 0)
    read_size: int = 5
    write_size: int = 8
    units: int = 128
    latent_size: int = 20
    copies: int = 10
    epochs: int = 6
    batch_size: int = 100
    learning_rate: float = 4e-3
    clip_norm: float = 5.0
    validation_images: int = 2000
    importance_samples: int = 20
    importance_images: int = 400
    prior_samples: int = 1000
    judge_epochs: int = 4
    pair_side: int = 60
    pair_steps: int = 8
    pair_epochs: int = 1
    reader_dataset: str = "digits28"
    reader_side: int = 60
    clutter_pieces: int = 4
    reader_glimpses: int = 4
    reader_read_size: int = 12
    reader_units: int = 128
    reader_learning_rate: float = 2e-3
    reader_epochs: int = 6
    reader_test_copies: int = 5


@dataclass(frozen=True)
class Handwriting(Settings):
    """Notebook 08: a pen that reads what it shall write.

    `models` are kinds of `attnlib.models.penmanship.build`. Lines of the
    Hershey letters have up to `characters` characters; `examples` of them are
    for training, `held_out` for validation and as many for test. Training
    lines of IAM-OnDB have up to `points` points, 0 for any number. Networks
    have `layers` layers of `units`; the next point's density is a mixture of
    `components` Gaussians, the window one of `window_components`.
    """

    may_be_zero: ClassVar[tuple] = ("points", "warmup_steps")

    dataset: str = "hershey"
    models: tuple = ("synthesis", "prediction", "prediction-1-layer")
    examples: int = 3000
    held_out: int = 400
    characters: int = 8
    points: int = 0
    layers: int = 3
    units: int = 64
    components: int = 6
    window_components: int = 3
    epochs: int = 6
    batch_size: int = 32
    learning_rate: float = 1e-2
    warmup_steps: int = 50
    buckets: int = 4


@dataclass(frozen=True)
class Captions(Settings):
    """Notebooks 03, 04 and 05: captions of images.

    `models` are kinds of `attnlib.models.captions.KINDS`. Of `examples` scenes
    with up to `digits` digits, or of all of Flickr8k's images resized to
    `side` pixels, `captions_each` captions are learned, an image's in one batch
    of `batch_size` captions; `held_out` scenes are for validation and as many
    for test. Words that occur less often than `min_count` are unknown. The
    `encoder` is `"joint"`, trained with the rest: it halves the image until it
    has a grid of `grid` rows, and its width grows from `filters` to four times
    as many; or `"vgg19"`, trained on ImageNet and frozen, with a grid of `side`
    / 16 rows.
    `penalty_target` is 1, or 0 for words / places. Searches keep `beam_size`
    captions.
    """

    may_be_zero: ClassVar[tuple] = (
        "dropout",
        "label_smoothing",
        "penalty_target",
        "penalty_weight",
        "entropy_weight",
        "warmup_steps",
    )

    dataset: str = "digit_scenes"
    models: tuple = ()
    side: int = 56
    digits: int = 2
    examples: int = 8000
    captions_each: int = 1
    held_out: int = 400
    min_count: int = 1
    encoder: str = "joint"
    grid: int = 7
    filters: int = 16
    embedding_size: int = 64
    units: int = 128
    attention_units: int = 64
    dropout: float = 0.0
    label_smoothing: float = 0.0
    # Of two weights tried, 0.1 and 0.01, the one that on validation scenes has
    # more attention in the boxes (3.1 against 2.9 times chance, one seed) and
    # a little less BLEU-4 (76.0 against 77.8).
    penalty_weight: float = 0.01
    penalty_target: float = 0.0
    reward_weight: float = 0.1
    entropy_weight: float = 0.002
    epochs: int = 8
    batch_size: int = 32
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    buckets: int = 2
    beam_size: int = 3


@dataclass(frozen=True)
class SemanticAttention(Captions):
    """Notebook 15: captions with words that a detector found in the image.

    `models` are kinds of `attnlib.models.attribute_captions.KINDS`, or of
    notebook 04. The `attribute_words` most frequent words may be attributes, at
    most `attributes` of them in one image. The detector's cells have
    `detector_units`; it learns for `detector_epochs` at `detector_rate` from
    `detector_batch` images at a time.
    `attribute_penalty` is the weight of the regulariser with the exponents
    `penalty_p` over time and `penalty_q` at once. `recalls` and `precisions`
    are what true attributes are corrupted to.
    """

    may_be_zero: ClassVar[tuple] = (*Captions.may_be_zero, "attribute_penalty")

    attribute_words: int = 40
    attributes: int = 8
    embedding_size: int = 96
    units: int = 96
    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 3e-3
    detector_units: int = 128
    detector_epochs: int = 6
    detector_batch: int = 32
    detector_rate: float = 3e-3
    attribute_penalty: float = 0.01
    penalty_p: float = 2.0
    penalty_q: float = 0.5
    recalls: tuple = (1.0, 0.75, 0.5, 0.25)
    precisions: tuple = (1.0, 0.75, 0.5)


@dataclass(frozen=True)
class QuestionAnswering(Settings):
    """Notebook 11: questions about images.

    Of scenes all `tasks` of `attnlib.datasets.question_scenes` are learned.
    `models` are kinds of `attnlib.models.answering.KINDS` that answer
    questions of one and two hops about `scenes` scenes; `position_models` are
    those of the two position tests with `position_scenes` scenes each, and
    `choice_models` choose among four answers and four boxes, after training
    on `choice_scenes` scenes each. `held_out` scenes are for validation and as
    many for test. Each has its number of epochs; of `models` those that have
    no attention learn for `blind_epochs`. `kinds` are the kinds of questions
    about scenes, `told_kinds` those with four answers. With real data the
    fields of scenes do not count.

    Images have `side` pixels a side, features a grid of `grid` rows, in the
    position tests of `position_grid`. The
    `encoder` is `"named"`: trained for `named_epochs` epochs to name the
    digits of `names` scenes, then frozen; `"joint"`: trained with the rest; or
    `"vgg19"`: trained on ImageNet and frozen, with a grid of `side` / 16 rows.
    Its width grows from `filters` to four times as many. Words that occur less
    often than `min_count` are unknown; only the `num_answers` most frequent
    answers are learned. The learning rate's `schedule` is `"steady"`, high
    until a fifth of the updates is left, or `"cosine"`, with a warm-up.
    """

    may_be_zero: ClassVar[tuple] = (
        "dropout",
        "warmup_steps",
    )

    dataset: str = "question_scenes"
    tasks: tuple = ("mixed", "absolute", "relative", "telling", "pointing")
    models: tuple = (
        "question",
        "ibowimg",
        "san-1",
        "san-2",
    )
    position_models: tuple = ("ibowimg", "smem-1")
    choice_models: tuple = ("lstm-q-i", "lstm-att")
    kinds: tuple = ("colour", "digit", "relation")
    told_kinds: tuple = ("colour", "digit")
    scenes: int = 3000
    position_scenes: int = 2000
    choice_scenes: int = 2500
    held_out: int = 300
    side: int = 64
    grid: int = 4
    position_grid: int = 8
    encoder: str = "named"
    filters: int = 16
    names: int = 5000
    named_epochs: int = 7
    units: int = 64
    attention_units: int = 128
    dropout: float = 0.0
    min_count: int = 1
    num_answers: int = 1000
    epochs: int = 6
    blind_epochs: int = 1
    position_epochs: int = 6
    choice_epochs: int = 5
    batch_size: int = 32
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    schedule: str = "steady"


@dataclass(frozen=True)
class Actions(Settings):
    """Notebook 12: which action a video shows.

    `models` are kinds of `attnlib.models.actions.parse`. Videos have `frames`
    frames of `side` pixels a side; real ones are sampled at `rate` frames a
    second. Of moving digits `examples` videos are for training and `held_out`
    for test, with so many `distractors` beside the actor; of real videos there
    are that many at most, 0 for all. The frozen `encoder` is `"stills"`, a CNN
    whose width grows from `filters` to four times as many, trained on `stills`
    single pictures for `still_epochs`; or `"vgg19"`, trained on ImageNet.
    Networks have `layers` LSTM layers of `units`; their attention learns
    `sharpness` times as fast as the rest.
    """

    may_be_zero: ClassVar[tuple] = (
        "examples",
        "held_out",
        "distractors",
        "dropout",
        "weight_decay",
        "warmup_steps",
    )

    dataset: str = "moving_digits"
    models: tuple = (
        "regression",
        "average",
        "max",
        "attention-0",
        "attention-1",
        "attention-10",
    )
    side: int = 56
    frames: int = 10
    rate: float = 30.0
    examples: int = 4000
    held_out: int = 1000
    distractors: int = 1
    encoder: str = "stills"
    filters: int = 16
    stills: int = 4000
    still_epochs: int = 8
    units: int = 64
    layers: int = 3
    dropout: float = 0.0
    weight_decay: float = 0.0
    sharpness: float = 20.0
    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 4e-3
    warmup_steps: int = 50


@dataclass(frozen=True)
class Saliency(Settings):
    """Notebook 13: saliency at a glance, then refined in windows.

    `models` are kinds of `attnlib.models.saliency.KINDS`, which refine the map
    of one global network in `num_steps` windows. Of `examples` scenes with up
    to `objects` objects, or of all photographs of a real data set resized to
    `height` and `width`, all are learned; `held_out` scenes are for validation
    and as many for test. Both networks see images or windows of `size` pixels
    a side, halve them `halvings` times and start with `filters`; the recurrent
    layers have `units`. `steps` are after how many windows maps are compared.
    What begins with `refine_` is of the networks that refine; before they part
    they learn together for `first_epochs` at `first_steps` random windows.
    """

    may_be_zero: ClassVar[tuple] = ("warmup_steps",)

    dataset: str = "saliency_scenes"
    models: tuple = ("refined", "random", "no-recurrence")
    height: int = 96
    width: int = 96
    objects: int = 3
    examples: int = 1000
    held_out: int = 250
    size: int = 32
    filters: int = 16
    halvings: int = 3
    epochs: int = 12
    batch_size: int = 16
    learning_rate: float = 4e-3
    warmup_steps: int = 30
    num_steps: int = 5
    steps: tuple = (1, 3, 5, 9)
    units: int = 64
    first_steps: int = 2
    first_epochs: int = 2
    refine_epochs: int = 2
    refine_batch: int = 8
    refine_rate: float = 2e-3


@dataclass(frozen=True)
class Segmentation(Settings):
    """Notebook 14: which scale to believe, pixel by pixel.

    `models` are kinds of `attnlib.models.segmentation.parse`. Of `examples`
    scenes with up to `shapes` shapes, or of all photographs of a real data set
    resized to `height` and `width`, all are learned; `held_out` scenes are for
    validation and as many for test. The `network` is `"small"`: its first
    convolution has `filters`, it halves the image `halvings` times and then
    has an atrous convolution for each of `rates`; or `"vgg16"`, trained on
    ImageNet first. Scales are scored by `units` filters.
    """

    may_be_zero: ClassVar[tuple] = ("warmup_steps",)

    dataset: str = "scale_scenes"
    models: tuple = (
        "baseline",
        "2-scales-max",
        "2-scales-avg",
        "2-scales-att",
        "2-scales-max-extra",
        "2-scales-avg-extra",
        "2-scales-att-extra",
    )
    height: int = 64
    width: int = 64
    shapes: int = 3
    examples: int = 2000
    held_out: int = 400
    network: str = "small"
    filters: int = 16
    halvings: int = 2
    rates: tuple = (2,)
    units: int = 16
    epochs: int = 5
    batch_size: int = 16
    learning_rate: float = 3e-3
    warmup_steps: int = 30


# Tuples of whole numbers of at least 1.
_COUNTS = (
    "rates",
    "steps",
    "glimpse_sizes",
    "conv_sizes",
    "batch_sizes",
    "glimpse_counts",
    "step_counts",
    "widths",
)


_REVERSAL = {
    "smoke": {
        "models": ("search", "encdec"),
        "examples": 256,
        "held_out": 40,
        "longest": 6,
        "short_longest": 4,
        "embedding_size": 8,
        "encoder_units": 4,
        "decoder_units": 8,
        "epochs": 1,
        "buckets": 1,
        "widths": (),
        "number_words": (
            ("examples", 64),
            ("numbers", 1),
            ("held_out", 18),
            ("encoder_units", 4),
            ("decoder_units", 8),
            ("epochs", 1),
            ("buckets", 1),
        ),
    },
    "quick": {},
    # The lengths of the paper's figure, within what a job has time for.
    "paper": {
        "examples": 40000,
        "held_out": 1800,
        "shortest": 5,
        "longest": 40,
        "short_longest": 20,
        "embedding_size": 64,
        "encoder_units": 64,
        "decoder_units": 128,
        "epochs": 16,
        "batch_size": 128,
        "learning_rate": 3e-3,
        "warmup_steps": 300,
        "buckets": 3,
        "widths": (32, 64, 256),
        "number_words": (
            ("examples", 20000),
            ("held_out", 800),
            ("encoder_units", 64),
            ("decoder_units", 128),
            ("epochs", 10),
            ("learning_rate", 3e-3),
        ),
    },
}

_TRANSLATION = {
    "smoke": {
        "examples": 128,
        "numbers": 2,
        "short_numbers": 1,
        "held_out": 16,
        "epochs": 1,
        "models": ("search", "encdec"),
        "buckets": 1,
        "beam_size": 2,
    },
    "quick": {},
    "paper": {
        "dataset": "multi30k",
        "source": "de",
        "target": "en",
        "models": ("search", "encdec"),
        "examples": 29000,
        "embedding_size": 256,
        "encoder_units": 256,
        "decoder_units": 512,
        "dropout": 0.3,
        "label_smoothing": 0.1,
        "epochs": 14,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "warmup_steps": 300,
        "buckets": 6,
        "beam_size": 12,
    },
}

_CAPTIONING = {
    "smoke": {
        "examples": 64,
        "held_out": 16,
        "filters": 4,
        "embedding_size": 16,
        "units": 16,
        "attention_units": 8,
        "epochs": 1,
        "buckets": 1,
        "beam_size": 2,
    },
    "quick": {},
    # The penalty's target is the paper's, which captions of fewer words than
    # places cannot reach. Sizes and passes are what a core learns in half an
    # hour to an hour a model, since the encoder starts from nothing, too.
    "paper": {
        "dataset": "flickr8k",
        "side": 112,
        "captions_each": 5,
        "min_count": 5,
        "filters": 32,
        "embedding_size": 256,
        "units": 256,
        "attention_units": 256,
        "dropout": 0.4,
        "penalty_target": 1.0,
        "epochs": 8,
        "batch_size": 80,
        "learning_rate": 1e-3,
        "warmup_steps": 300,
        "buckets": 4,
        "beam_size": 5,
    },
}

_GLIMPSES = {
    "smoke": {
        "num_glimpses": 2,
        "glimpse_counts": (1, 2),
        "policies": ("learned", "random"),
        "units": 16,
        "copies": 0,
        "epochs": 1,
        "rivals": ("conv",),
        "catch_units": 8,
    },
    # A small core and a large learning rate: what five models can learn in a
    # minute and a half.
    "quick": {
        "units": 128,
        "location_std": 0.1,
        "epochs": 12,
        "learning_rate": 3e-3,
        "samples": 5,
        "rivals": ("fc-2x256", "conv"),
        "catch_epochs": 8,
    },
    # On 10000 held-out images the noise of locations cost single runs most: it
    # helps to find a policy and hurts its use, so it falls. Weight decay keeps
    # the policy from following the noise, image by image.
    "paper": {
        "dataset": "mnist",
        "policies": ("learned",),
        "location_std": 0.02,
        "exploration_std": 0.15,
        "samples": 10,
        "epochs": 100,
        "weight_decay": 0.1,
        "copies": 0,
    },
}

# A task and a kind of network are a job, without a transformer and with the
# affine one; the other transforms take as long again, two networks a job.
_WARPED = {
    **{
        f"{task}-{network}": (
            f"{task}/{network}",
            f"{task}/st-{network}-aff",
        )
        for task in ("r", "rts", "p", "e", "tc")
        for network in ("fcn", "cnn")
    },
    **{
        f"{task}-{network}-proj-tps": (
            f"{task}/st-{network}-proj",
            f"{task}/st-{network}-tps",
        )
        for task in ("r", "rts", "p", "e")
        for network in ("fcn", "cnn")
    },
    "addition-plain": ("addition/fcn", "addition/cnn"),
    **{
        f"addition-{count}-{transform}": (f"addition/{name}-fcn-{transform}",)
        for count, name in (("one", "st"), ("two", "2xst"))
        for transform in ("aff", "proj", "tps")
    },
}

_TRANSFORMERS = {
    "smoke": {
        "models": ("r/fcn", "r/st-fcn-aff"),
        "parameters": 60_000,
        "filters": 4,
        "epochs": 1,
    },
    # Small nets and small canvases: what eight models can learn in a minute and
    # a half.
    "quick": {
        "models": (
            "r/fcn",
            "r/st-fcn-aff",
            "r/cnn",
            "r/st-cnn-aff",
            "tc/fcn",
            "tc/st-fcn-aff",
            "tc/cnn",
            "tc/st-cnn-aff",
        ),
        "parameters": 120_000,
        "filters": 16,
        "epochs": 25,
        "batch_size": 64,
        "learning_rate": 2e-3,
        "canvas": 42,
        "test_copies": 10,
    },
    "paper": {
        "dataset": "mnist",
        "models": tuple(
            dict.fromkeys(m for models in _WARPED.values() for m in models)
        ),
    },
}


# The paper's tasks on canvases: 12x12 windows, the coarsest nearly as wide as
# the canvas. There is more to search, so the search starts wider.
_CANVASES = {
    "t60": {"canvas": 60, "scales": 3},
    "c60": {"canvas": 60, "clutter": 4, "scales": 3},
    "c100": {"canvas": 100, "clutter": 8, "scales": 4},
}


def _on_canvas(task, glimpses, *policies):
    """Return what a job on a canvas changes in the paper profile."""
    return {
        **_CANVASES[task],
        "glimpse_size": 12,
        "exploration_std": 0.25,
        "num_glimpses": glimpses,
        "glimpse_counts": (glimpses,),
        "policies": policies or ("learned",),
    }


# Jobs about something else show the sections on RAM with a small model.
_SMALL_RAM = {
    "dataset": "digits28",
    "num_glimpses": 2,
    "glimpse_counts": (2,),
    "units": 128,
    "location_std": 0.1,
    "exploration_std": 0.0,
    "epochs": 12,
    "learning_rate": 3e-3,
    "weight_decay": 0.0,
    "copies": 10,
    "samples": 1,
}

_RECIPE_OF_MNIST = {
    key: _GLIMPSES["paper"][key]
    for key in ("dataset", "copies", "location_std", "exploration_std")
} | {"epochs": 100, "learning_rate": 1e-3, "weight_decay": 0.1, "units": 256}


def _rivals(*names, **canvas):
    """Return what a job about networks that see everything changes."""
    # They see each canvas whole: fewer epochs are enough.
    fields = {**_RECIPE_OF_MNIST, **canvas, "epochs": 40}
    return {**_SMALL_RAM, "rivals": names, "rivals_on": (*fields.items(),)}


def _several(task, *names):
    """Return what a job about two digits in one image changes."""
    fields = {
        **_RECIPE_OF_MNIST,
        **dict(RecurrentGlimpses.several_on),
        "task": task,
        "canvas": 100,
        "exploration_std": 0.25,
    }
    return {**_SMALL_RAM, "several": names, "several_on": (*fields.items(),)}


_DRAWING = {
    # One model that draws: each takes seconds to compile.
    "smoke": {
        "num_steps": 2,
        "step_counts": (),
        "windows": (1,),
        "units": 16,
        "latent_size": 4,
        "copies": 0,
        "epochs": 1,
        "importance_samples": 2,
        "importance_images": 50,
        "prior_samples": 50,
        "judge_epochs": 1,
        "pair_steps": 2,
        "pair_epochs": 0,
        "reader_glimpses": 2,
        "reader_units": 16,
        "reader_epochs": 1,
        "reader_test_copies": 1,
    },
    "quick": {},
    # The paper's sizes (its Table 3) and its batch. One job is a part of the
    # paper's training, which took days.
    "paper": {
        "dataset": "binarized_mnist",
        "num_steps": 64,
        "step_counts": (),
        "windows": (1,),
        "read_size": 2,
        "write_size": 5,
        "units": 256,
        "latent_size": 100,
        "copies": 0,
        "epochs": 40,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "importance_samples": 100,
        "importance_images": 1000,
        "judge_epochs": 0,
        "pair_epochs": 0,
        "reader_dataset": "mnist",
        "reader_epochs": 0,
        "reader_glimpses": 8,
        "reader_units": 256,
        "reader_learning_rate": 1e-3,
        "reader_test_copies": 1,
    },
}

_PENS = {
    "smoke": {
        "examples": 64,
        "held_out": 16,
        "characters": 4,
        "models": ("synthesis", "prediction"),
        "layers": 2,
        "units": 12,
        "components": 3,
        "window_components": 2,
        "epochs": 1,
        "batch_size": 32,
        "buckets": 1,
    },
    "quick": {},
    # The paper's sizes. Its optimiser took weeks; Adam with a falling rate
    # takes hours, resumed job by job.
    "paper": {
        "dataset": "iam_ondb",
        "points": 1200,
        "units": 400,
        "components": 20,
        "window_components": 10,
        "epochs": 60,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "warmup_steps": 300,
        "buckets": 6,
    },
}

_SEMANTIC = {
    "smoke": {
        **_CAPTIONING["smoke"],
        "models": ("none", "both"),
        "detector_units": 16,
        "detector_epochs": 1,
        "recalls": (1.0, 0.5),
        "precisions": (1.0, 0.5),
    },
    "quick": {
        "models": (
            "none",
            "input",
            "output",
            "both",
            "both-uniform",
            "both-no-penalty",
            "both-true",
        ),
    },
    # Beside notebook 04's decoder, whose sizes these are.
    "paper": {
        **_CAPTIONING["paper"],
        "models": ("none", "both", "soft"),
        "attribute_words": 256,
        "attributes": 10,
        "detector_units": 512,
        "detector_epochs": 15,
        "detector_batch": 64,
        "detector_rate": 1e-3,
    },
}

_ASKING = {
    "smoke": {
        "tasks": ("mixed", "absolute", "pointing"),
        "models": ("san-2",),
        "position_models": ("smem-1",),
        "choice_models": ("lstm-att",),
        "scenes": 40,
        "position_scenes": 40,
        "choice_scenes": 30,
        "held_out": 20,
        "filters": 4,
        "names": 64,
        "named_epochs": 1,
        "units": 16,
        "attention_units": 16,
        "epochs": 1,
        "blind_epochs": 1,
        "position_epochs": 1,
        "choice_epochs": 1,
    },
    "quick": {"tasks": ("mixed", "absolute", "relative", "telling")},
    "paper": {},
}

_ACTIONS = {
    "smoke": {
        "models": ("regression", "average", "attention-0", "attention-10"),
        "frames": 4,
        "examples": 128,
        "held_out": 32,
        "filters": 2,
        "stills": 128,
        "still_epochs": 1,
        "units": 8,
        "layers": 1,
        "epochs": 1,
        "batch_size": 32,
    },
    "quick": {},
    # The paper's sizes for UCF-11. Its GoogLeNet is not among the networks
    # whose weights Keras publishes.
    "paper": {
        "dataset": "ucf11",
        "side": 224,
        "frames": 30,
        "examples": 0,
        "held_out": 0,
        "encoder": "vgg19",
        "units": 512,
        "dropout": 0.5,
        "weight_decay": 1e-5,
        "sharpness": 1.0,
        "epochs": 15,
        "batch_size": 128,
        "learning_rate": 1e-4,
    },
}

_SALIENCY = {
    "smoke": {
        "models": ("refined",),
        "height": 48,
        "width": 48,
        "examples": 24,
        "held_out": 10,
        "size": 16,
        "filters": 4,
        "halvings": 2,
        "epochs": 2,
        "batch_size": 8,
        "num_steps": 3,
        "steps": (1, 3),
        "units": 8,
        "first_steps": 1,
        "first_epochs": 1,
        "refine_epochs": 1,
        "refine_batch": 8,
    },
    "quick": {},
    # Photographs of 160x128 pixels; about 50 s of one core an epoch of all.
    "paper": {
        "dataset": "weizmann_horses",
        "height": 128,
        "width": 160,
        "size": 64,
        "filters": 32,
        "halvings": 4,
        "epochs": 60,
        "num_steps": 9,
        "units": 128,
        "first_epochs": 10,
        "refine_epochs": 20,
        "learning_rate": 2e-3,
        "refine_rate": 1e-3,
    },
}

_SEGMENTATION = {
    "smoke": {
        "models": ("2-scales-max-extra", "2-scales-att-extra"),
        "examples": 64,
        "held_out": 32,
        "filters": 4,
        "units": 4,
        "epochs": 1,
    },
    "quick": {},
    # Without weights of ImageNet; the paper's network and 321 pixels a side
    # are the settings that begin with `voc`.
    "paper": {
        "dataset": "camvid",
        "models": (
            "baseline",
            "2-scales-max-extra",
            "2-scales-avg-extra",
            "2-scales-att-extra",
        ),
        "height": 180,
        "width": 240,
        "filters": 32,
        "halvings": 3,
        "rates": (1, 2, 4),
        "units": 64,
        "epochs": 60,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "warmup_steps": 100,
    },
}

_FINE_GRAINED = {
    "smoke": {
        "models": ("none", "2-st"),
        "examples": 96,
        "held_out": 32,
        "filters": 4,
        "units": 8,
        "localization_filters": 4,
        "epochs": 1,
    },
    "quick": {},
    # No network here was trained on other photographs before.
    "paper": {
        "dataset": "flowers17",
        "models": ("none", "1-st", "2-st", "4-st"),
        "side": 128,
        "scale": 0.5,
        "crop": 64,
        "filters": 16,
        "convolutions": 5,
        "units": 128,
        "dropout": 0.5,
        "localization_filters": 16,
        "localization_pool": 4,
        "epochs": 60,
        "learning_rate": 1e-3,
    },
}

_SCHEMAS = {
    "00": Motivation,
    "01": EncoderDecoder,
    "02": Translation,
    "03": Captions,
    "04": Captions,
    "05": Captions,
    "06": RecurrentGlimpses,
    "07": Draw,
    "08": Handwriting,
    "09": SpatialTransformers,
    "10": FineGrained,
    "11": QuestionAnswering,
    "12": Actions,
    "13": Saliency,
    "14": Segmentation,
    "15": SemanticAttention,
    "16": Settings,
}

_PROFILES = {
    "00": {
        "smoke": {
            "glimpse_sizes": (64, 256),
            "conv_sizes": (64, 128),
            "repeats": 3,
        },
        "quick": {},
        "paper": {"repeats": 50},
    },
    "01": _REVERSAL,
    "02": _TRANSLATION,
    "03": {
        profile: {**values, "models": ("nic", "nic-every-step")}
        for profile, values in _CAPTIONING.items()
    },
    "04": {
        profile: {**values, "models": ("nic", "soft")}
        for profile, values in _CAPTIONING.items()
    },
    "05": {
        profile: {**values, "models": ("soft", "hard", "hard-no-baseline")}
        for profile, values in _CAPTIONING.items()
    },
    "06": _GLIMPSES,
    "07": _DRAWING,
    "08": _PENS,
    "09": _TRANSFORMERS,
    "10": _FINE_GRAINED,
    "11": _ASKING,
    "12": _ACTIONS,
    "13": _SALIENCY,
    "14": _SEGMENTATION,
    "15": _SEMANTIC,
    "16": {profile: {} for profile in NAMES},
}

# The paper's encoder: its weights are 80 MB, and not everybody's to download.
_VGG19 = {"encoder": "vgg19", "side": 224, "grid": 14}

# What else is learned to see what the parts of soft attention are good for.
_ABLATED = {"models": ("nic", "soft", "soft-no-penalty", "soft-no-gate")}

# The variants of semantic attention, a job of their own.
_VARIANTS = {
    "models": (
        "input",
        "output",
        "both",
        "both-uniform",
        "both-no-penalty",
        "both-true",
    ),
}

# No encoder but their own has been trained on photographs of rooms or COCO.
_OF_REAL_IMAGES = {
    "encoder": "joint",
    "grid": 7,
    "filters": 32,
    "units": 256,
    "attention_units": 256,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "warmup_steps": 300,
    "schedule": "cosine",
}


# The paper's three merges, at a number of scales.
def _merges(count, extra=""):
    return tuple(f"{count}-scales-{m}{extra}" for m in ("max", "avg", "att"))


# The paper's network on VOC's photographs, reduced to 240 pixels a side.
_VOC = {
    "dataset": "pascal_voc",
    "network": "vgg16",
    "height": 240,
    "width": 240,
    "units": 512,
    "epochs": 40,
    "batch_size": 10,
    "learning_rate": 1e-4,
}

_THIRD_SCALE = ("2-scales-att-extra", *_merges(3, "-extra"))

# Settings split a profile into jobs of their own: what each changes. None is
# the profile itself, where it is a job beside its settings.
_SETTINGS = {
    ("02", "paper"): {
        None: {},
        "en-fr": {"source": "en", "target": "fr", "models": ("search",)},
    },
    ("03", "paper"): {None: {}, "vgg19": _VGG19},
    ("04", "smoke"): {None: {}, "ablations": _ABLATED},
    ("04", "quick"): {None: {}, "ablations": _ABLATED},
    ("04", "paper"): {None: {}, "ablations": _ABLATED, "vgg19": _VGG19},
    ("05", "paper"): {None: {}, "vgg19": _VGG19},
    ("06", "paper"): {
        "g2": {"num_glimpses": 2, "glimpse_counts": (2,)},
        "g4": {"num_glimpses": 4, "glimpse_counts": (4,)},
        "g6": {"num_glimpses": 6, "glimpse_counts": (6,)},
        **{
            f"{task}-g{glimpses}": _on_canvas(task, glimpses)
            for task in _CANVASES
            for glimpses in (4, 6, 8)
        },
        "c60-random": _on_canvas("c60", 8, "random"),
        "c100-random": _on_canvas("c100", 8, "random"),
        "nets": _rivals("fc-2x256", "conv", "cnn"),
        "t60-nets": _rivals("fc-2x64", "fc-2x256", "conv", "cnn", canvas=60),
        "c60-nets": _rivals(
            "fc-2x64", "fc-2x256", "conv", "cnn", canvas=60, clutter=4
        ),
        "c100-nets": _rivals("conv", "cnn", canvas=100, clutter=8),
        "pairs-ram": _several("pairs", "ram"),
        "pairs-no-context": _several("pairs", "dram-no-context"),
        "pairs-dram": _several("pairs", "dram"),
        "sums-conv": _several("sums", "conv-512"),
        "sums-dram": _several("sums", "dram"),
        "catch": {
            **_SMALL_RAM,
            "copies": 0,
            "catch_side": 24,
            "catch_scales": 3,
            # Many small updates: one of 256 units and 512 games took 43 times
            # as long as one of 64 units and 128 games.
            "catch_units": 64,
            "catch_location_std": 0.2,
            "catch_batch_size": 128,
            "catch_learning_rate": 1e-3,
            "catch_clip_norm": 1.0,
            "catch_epochs": 400,
        },
    },
    ("08", "paper"): {
        None: {},
        # Goes on from the networks of the profile itself.
        "noise": {
            "models": (
                "synthesis",
                "prediction",
                "synthesis-noise",
                "prediction-noise",
            ),
        },
        # What one CPU core learns in half an hour: 287 updates a pass, of
        # about 1.6 seconds each (JAX, measured).
        "small": {
            "models": ("synthesis",),
            "layers": 2,
            "units": 200,
            "components": 10,
            "window_components": 5,
            "epochs": 4,
            "learning_rate": 3e-3,
            "warmup_steps": 100,
        },
    },
    ("15", "paper"): {None: {}, "ablations": _VARIANTS, "vgg19": _VGG19},
    ("09", "paper"): {
        **{name: {"models": models} for name, models in _WARPED.items()},
        "colocalisation": {
            "models": (),
            "colocalization_digits": tuple(range(10)),
            "parameters": 100_000,
            "filters": 16,
            "learning_rate": 2e-3,
        },
    },
    ("10", "quick"): {
        None: {},
        "4-st": {"models": ("none", "1-st", "2-st", "4-st")},
    },
    ("10", "paper"): {
        "flowers17": {},
        "cub-200": {"dataset": "cub_200", "side": 224, "crop": 112},
    },
    ("11", "paper"): {
        # The paper's position tests, rebuilt, with more scenes than `quick`.
        "positions": {
            "tasks": ("absolute", "relative"),
            "models": (),
            "position_scenes": 6000,
            "position_epochs": 10,
            "held_out": 1000,
        },
        "scenes": {
            "models": (
                "question",
                "ibowimg",
                "lstm-q-i",
                "lstm-att",
                "smem-1",
                "smem-2",
                "san-1",
                "san-2",
                "san-1-cnn",
                "san-2-cnn",
            ),
            "tasks": ("mixed", "telling", "pointing"),
            "scenes": 20_000,
            "held_out": 1000,
            "choice_scenes": 5000,
            "choice_epochs": 8,
            "epochs": 6,
            "batch_size": 64,
            "units": 128,
            "attention_units": 128,
        },
        "easy-vqa": {
            **_OF_REAL_IMAGES,
            "dataset": "easy_vqa",
            "models": ("question", "ibowimg", "lstm-q-i", "san-1", "san-2"),
            "side": 64,
            "grid": 8,
            "epochs": 6,
            "blind_epochs": 3,
        },
        "daquar-all": {
            **_OF_REAL_IMAGES,
            "dataset": "daquar",
            "models": (
                "question",
                "ibowimg",
                "lstm-q-i",
                "smem-1",
                "smem-2",
                "san-1",
                "san-2",
                "san-1-cnn",
                "san-2-cnn",
            ),
            "side": 112,
            "min_count": 2,
            "dropout": 0.5,
            "epochs": 20,
            "blind_epochs": 20,
        },
        "visual7w": {
            **_OF_REAL_IMAGES,
            "dataset": "visual7w",
            "models": (),
            "choice_models": ("lstm-q-i", "lstm-att"),
            "side": 112,
            "units": 512,
            "min_count": 5,
            "dropout": 0.5,
            "choice_epochs": 20,
        },
        "vqa-v2": {
            **_OF_REAL_IMAGES,
            "dataset": "vqa_v2",
            "models": ("question", "ibowimg", "smem-2", "san-1", "san-2"),
            "side": 112,
            "units": 512,
            "attention_units": 512,
            "min_count": 5,
            "dropout": 0.5,
            "epochs": 15,
            "blind_epochs": 15,
        },
    },
    ("12", "paper"): {
        "ucf11": {},
        "hmdb51": {"dataset": "hmdb51", "units": 1024},
    },
    ("14", "quick"): {None: {}, "3-scales": {"models": _THIRD_SCALE}},
    ("14", "paper"): {
        # A job finds in the cache what another one has trained.
        "2-scales-extra": {},
        "2-scales": {"models": (*_merges(2), *_merges(2, "-extra"))},
        "3-scales-extra": {"models": _THIRD_SCALE},
        "3-scales": {
            "models": (*_merges(2), *_merges(3), *_merges(3, "-extra")),
        },
        **{
            f"voc-{kind}": {**_VOC, "models": (kind,)}
            for kind in (
                "baseline",
                *_merges(2, "-extra"),
                *_merges(3, "-extra"),
            )
        },
    },
    ("07", "paper"): {
        "t10": {"num_steps": 10, "epochs": 100},
        "t32": {"num_steps": 32, "epochs": 60},
        "t64": {},
        "t64-no-windows": {"windows": (0,)},
        # Hours, resumed job by job: the same training with a longer schedule.
        "t64-long": {"epochs": 300, "learning_rate": 5e-4},
        "read60": {"epochs": 0, "reader_epochs": 60},
        "read100-4": {
            "epochs": 0,
            "reader_epochs": 60,
            "reader_side": 100,
            "clutter_pieces": 8,
            "reader_glimpses": 4,
        },
        "read100-8": {
            "epochs": 0,
            "reader_epochs": 60,
            "reader_side": 100,
            "clutter_pieces": 8,
        },
    },
}

# How many seeds a (notebook, profile, setting) gets unless SEEDS says more.
_SEEDS = {
    ("06", "paper", "g6"): 3,
    **{
        ("14", "paper", f"{count}-scales{extra}"): 3
        for count in (2, 3)
        for extra in ("", "-extra")
    },
}

_TIMEOUT_S = {"smoke": 900, "quick": 1800, "paper": 6 * 3600}


@dataclass(frozen=True)
class Job:
    """One run of a notebook: one executed copy, one result file."""

    notebook: str
    profile: str
    setting: str | None
    seed: int

    @property
    def name(self) -> str:
        """Return the stem of the result file, for example `06-g6-s0`."""
        middle = "" if self.setting is None else f"-{self.setting}"
        return f"{self.notebook}{middle}-s{self.seed}"

    @property
    def notebook_file(self) -> str:
        """Return the notebook's file name."""
        return f"{NOTEBOOKS[self.notebook]}.ipynb"

    @property
    def parameters(self) -> dict:
        """Return the papermill parameters."""
        given = {"profile": self.profile, "seed": self.seed}
        if self.setting is not None:
            given["setting"] = self.setting
        return given

    @property
    def timeout_s(self) -> int:
        """Return the longest that the whole notebook may run, in seconds."""
        return _TIMEOUT_S[self.profile]


def _unknown(what, received, known):
    near = difflib.get_close_matches(str(received), list(map(str, known)), 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ValueError(
        f"expected {what} to be one of {', '.join(map(str, known))}. "
        f"Received: {received!r}.{hint}"
    )


def resolve(profile=None) -> str:
    """Return the profile's name: the argument, `$ATTNLIB_PROFILE` or quick.

    Raises:
        ValueError: There is no such profile.
    """
    name = profile or os.environ.get("ATTNLIB_PROFILE") or "quick"
    if name not in NAMES:
        raise _unknown("profile", name, NAMES)
    return name


def load(notebook, profile=None, seed=0, setting=None, **overrides):
    """Return the settings of one run of a notebook.

    Args:
        notebook: Two digits, for example `"06"`.
        profile: `smoke`, `quick` or `paper`; None asks `$ATTNLIB_PROFILE`,
            else it is `quick`.
        seed: Seed of the run, an integer from 0 to 2**32 - 1.
        setting: One of the profile's settings, or None.
        **overrides: Fields of the notebook to change; None changes nothing.

    Returns:
        A frozen dataclass: `Motivation`, `EncoderDecoder`, `Translation`,
        `Captions`, `SemanticAttention`, `RecurrentGlimpses`, `Draw`,
        `Handwriting`, `SpatialTransformers`, `FineGrained`,
        `QuestionAnswering`, `Actions`, `Saliency`, `Segmentation` or,
        without fields of its own, `Settings`.

    Raises:
        ValueError: The notebook, profile, setting or a field is unknown, or a
            value has the wrong type or is out of range.
    """
    if notebook not in _SCHEMAS:
        raise _unknown("notebook", notebook, _SCHEMAS)
    profile = resolve(profile)
    whole = isinstance(seed, int) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < 2**32:
        raise ValueError(
            "expected seed to be an integer from 0 to 2**32 - 1. Received: "
            f"{seed!r}"
        )
    values = dict(_PROFILES[notebook][profile])
    settings = _SETTINGS.get((notebook, profile), {})
    if setting is not None:
        if setting not in settings:
            known = sorted(filter(None, settings)) or [
                "None (this profile has no settings)"
            ]
            raise _unknown("setting", setting, known)
        values.update(settings[setting])
    schema = _SCHEMAS[notebook]
    own = {f.name: f for f in dataclasses.fields(schema)}
    for name in ("notebook", "profile", "seed", "setting"):
        own.pop(name)
    for name, value in overrides.items():
        if name not in own:
            raise _unknown(f"a parameter of notebook {notebook}", name, own)
        if value is not None:
            zero = name in schema.may_be_zero
            values[name] = _checked(own[name], value, zero)
    return schema(notebook, profile, seed, setting, **values)


def _checked(field, value, zero):
    """Return an override in its field's type, or raise."""
    kind = field.type if isinstance(field.type, type) else type(field.default)
    if kind is tuple and isinstance(value, list):
        value = tuple(value)
    if kind is float and type(value) is int:
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(
            f"expected {field.name} to be of type {kind.__name__}. "
            f"Received: {value!r}"
        )
    if kind in (int, float):
        _check_number(field.name, value, zero)
    if field.name in _COUNTS:
        for entry in value:
            if type(entry) is not int or entry < 1:
                raise ValueError(
                    f"expected {field.name} to be integers of at least 1. "
                    f"Received: {value!r}"
                )
    if field.name == "windows" and set(value) not in ({0}, {1}, {0, 1}):
        raise ValueError(
            "expected windows to be 1 (with), 0 (without) or both. Received: "
            f"{value!r}"
        )
    return value


def _check_number(name, value, zero):
    if 0 <= value < float("inf") and (value or zero):
        return
    least = "of at least 1"
    if zero:
        least = "of at least 0"
    elif isinstance(value, float):
        least = "above 0"
    raise ValueError(
        f"expected {name} to be a finite number {least}. Received: {value!r}"
    )


def settings_of(notebook, profile) -> list:
    """Return the settings that are jobs; None is the profile itself."""
    return list(_SETTINGS.get((notebook, profile), {None: {}}))


def jobs(profile=None, only=None, seeds=None) -> list:
    """Return the jobs of a profile in the order of their notebooks.

    Args:
        profile: As in `load`.
        only: Notebooks to keep: a list, or a string such as `"06 07"`.
        seeds: Number of seeds for every job; None for the profile's own.
            Notebooks that read results have one.

    Returns:
        A list of `Job`.

    Raises:
        ValueError: The profile or a notebook is unknown, or `seeds` is below
            1.
    """
    profile = resolve(profile)
    wanted = only.split() if isinstance(only, str) else list(only or [])
    for notebook in wanted:
        if notebook not in NOTEBOOKS:
            raise _unknown("notebook", notebook, NOTEBOOKS)
    if seeds is not None and (not isinstance(seeds, int) or seeds < 1):
        raise ValueError(
            "expected seeds to be an integer of at least 1. "
            f"Received: {seeds!r}"
        )
    return [
        Job(notebook, profile, setting, seed)
        for notebook in NOTEBOOKS
        if not wanted or notebook in wanted
        for setting in settings_of(notebook, profile)
        for seed in range(_seeds(notebook, profile, setting, seeds))
    ]


def _seeds(notebook, profile, setting, wanted):
    if notebook in READERS:
        return 1
    return wanted or _SEEDS.get((notebook, profile, setting), 1)
