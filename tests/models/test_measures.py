"""What experiments measure about attention."""

import numpy as np
import pytest

from attnlib import ops
from attnlib.models import measures


def test_entropy_is_that_of_equal_shares():
    weights = np.zeros((1, 2, 49))
    weights[0, 0], weights[0, 1, 7] = 1 / 49, 1
    np.testing.assert_allclose(
        measures.entropy(weights), [[np.log(49), 0]], atol=1e-9
    )


def test_entropy():
    assert measures.entropy(np.full((3, 4), 0.25)) == pytest.approx(np.log(4))
    assert measures.entropy([0.0, 1.0]) == 0


def test_entropy_is_the_operation_s():
    weights = np.random.default_rng(0).dirichlet(np.ones(9), (3, 4))
    weights = weights.astype("float32")
    np.testing.assert_allclose(
        measures.entropy(weights),
        np.asarray(ops.attention_entropy(weights)),
        rtol=1e-5,
    )


def test_rank_correlation_is_spearman_s():
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(0)
    first = random.integers(0, 9, 50)  # with ties
    second = first + random.normal(0, 3, 50)
    wanted = stats.spearmanr(first, second).statistic
    found = measures.rank_correlation(first, second)
    assert found == pytest.approx(wanted)
    ranks = stats.rankdata(first), stats.rankdata(second)
    assert found == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert measures.rank_correlation([1, 2, 3], [6, 5, 4]) == -1
    assert np.isnan(measures.rank_correlation([1, 2], [3, 3]))
