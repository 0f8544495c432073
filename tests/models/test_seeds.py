"""Models that draw numbers take the seeds that every backend takes."""

import keras
import pytest

from attnlib.models.action_recognition import AttentionRecogniser
from attnlib.models.catch import CatchAgent
from attnlib.models.dram import DeepRecurrentAttention
from attnlib.models.draw import DRAW
from attnlib.models.encoder_decoder import RNNEncoderDecoder
from attnlib.models.ram import RecurrentAttention
from attnlib.models.rnnsearch import RNNSearch
from attnlib.models.show_and_tell import ShowAndTell
from attnlib.models.show_attend_tell import ShowAttendTell
from attnlib.models.stn import CoLocalizer
from attnlib.models.weight_noise import AdaptiveWeightNoise

MODELS = {
    "AdaptiveWeightNoise": lambda seed: AdaptiveWeightNoise(
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]),
        9,
        seed=seed,
    ),
    "AttentionRecogniser": lambda seed: AttentionRecogniser(9, seed=seed),
    "CatchAgent": CatchAgent,
    "CoLocalizer": lambda seed: CoLocalizer(
        keras.Sequential([keras.layers.Flatten()]), seed=seed
    ),
    "DRAW": lambda seed: DRAW(2, seed=seed),
    "DeepRecurrentAttention": DeepRecurrentAttention,
    "RNNEncoderDecoder": lambda seed: RNNEncoderDecoder(9, 9, seed=seed),
    "RNNSearch": lambda seed: RNNSearch(9, 9, seed=seed),
    "RecurrentAttention": RecurrentAttention,
    "ShowAndTell": lambda seed: ShowAndTell(9, seed=seed),
    "ShowAttendTell": lambda seed: ShowAttendTell(9, seed=seed),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, True])
def test_what_is_no_seed_is_refused(make, seed):
    with pytest.raises(ValueError, match=f"seed.*Received: {seed!r}"):
        make(seed=seed)
