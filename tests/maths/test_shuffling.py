"""Random permutations: every number once, every order about as often as any other."""

import math
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from proximax.maths import minibatches, permutation
from proximax.maths.shuffling import _ranks

KEYS = jax.random.split(jax.random.key(5), 6000)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 100, 2048, 3000])
def test_every_number_is_there_once(n):
    for key in KEYS[:3]:
        order = np.asarray(permutation(key, n))
        assert order.dtype == np.int32
        np.testing.assert_array_equal(np.sort(order), np.arange(n))


def drawn(n):
    return np.asarray(jax.jit(jax.vmap(lambda key: permutation(key, n)))(KEYS))


def fits(counts, freedom):
    """Whether counts are those of a uniform distribution: the chi-squared statistic is no rare one."""
    expected = counts.sum() / counts.size
    return 1e-4 < chi2.sf(((counts - expected) ** 2 / expected).sum(), freedom) < 1 - 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 4, 5])
def test_all_orders_of_few_are_equally_likely(n):
    counts = Counter(map(tuple, drawn(n)))
    assert len(counts) == math.factorial(n)
    assert fits(np.array(list(counts.values())), math.factorial(n) - 1)


@pytest.mark.slow
@pytest.mark.trap(26)
@pytest.mark.parametrize("n", [6, 7, 8, 12, 15])
def test_any_two_of_few_come_in_any_two_places(n):
    orders = drawn(n)
    for i, j in ((0, 1), (1, 2), (n // 2, n - 1)):
        pairs = np.zeros((n, n))
        np.add.at(pairs, (orders[:, i], orders[:, j]), 1)
        assert fits(pairs[~np.eye(n, dtype=bool)], n * (n - 1) - 1)
    signs = [np.linalg.det(np.eye(n)[order]) for order in orders[:2000]]
    assert abs(np.mean(signs)) < 4 / math.sqrt(2000)  # as many even orders as odd ones


def test_equal_random_numbers_leave_a_permutation():
    assert _ranks(jnp.array([7, 3, 7, 0, 3], jnp.uint32)).tolist() == [3, 1, 4, 0, 2]


@pytest.mark.slow
@pytest.mark.trap(26)
@pytest.mark.parametrize("n", [16, 24, 33])
def test_a_number_may_come_anywhere_and_so_may_its_neighbour(n):
    orders = drawn(n)
    places = np.stack([np.bincount(orders[:, i], minlength=n) for i in range(n)])
    assert fits(places, (n - 1) ** 2)
    for i, j in ((0, 1), (0, n // 2), (n // 3, n - 1)):
        apart = np.bincount((orders[:, i] - orders[:, j]) % n, minlength=n)
        assert apart[0] == 0
        assert fits(apart[1:], n - 2)


@pytest.mark.slow
def test_side_by_side_equals_one_by_one():
    together = jax.jit(jax.vmap(lambda key: permutation(key, 100)))(KEYS[:8])
    for key, order in zip(KEYS, together):
        np.testing.assert_array_equal(permutation(key, 100), order)


def test_different_keys_give_unrelated_orders():
    orders = drawn(512)[:500].astype(float)
    correlation = np.corrcoef(orders)[np.triu_indices(500, 1)]
    assert np.abs(correlation).max() < 6 / math.sqrt(512)
    assert np.std(correlation) == pytest.approx(1 / math.sqrt(511), rel=0.05)


SIZES = st.one_of(st.integers(1, 5000), st.integers(0, 13).flatmap(lambda k: st.sampled_from([2**k, 2**k + 1])))


@pytest.mark.slow
@pytest.mark.trap(26)
@settings(max_examples=settings().max_examples // 3)  # each is a program
@given(SIZES, st.integers(0, 2**32 - 1))
def test_every_number_is_there_once_whatever_the_size_and_the_key(n, seed):
    order = np.asarray(permutation(jax.random.key(seed), n))
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


@pytest.mark.trap(26)
def test_every_row_is_used_once_per_epoch_in_another_order_each_time():
    orders = [np.asarray(minibatches(jax.random.key(i), (16, 4), 16)) for i in range(4)]
    for order in orders:
        assert order.shape == (4, 1, 16)
        np.testing.assert_array_equal(np.sort(order.ravel()), np.arange(64))
    assert len({tuple(order.ravel()) for order in orders}) == 4
    assert minibatches(jax.random.key(0), (16, 4), None).shape == (1, 1, 64)


@pytest.mark.trap(31)
def test_minibatches_of_sequences_hold_every_step_once_in_order_and_never_mix_environments():
    steps, envs, length = 12, 4, 3
    samples = np.asarray(minibatches(jax.random.key(2), (steps, envs), 6, length))
    assert samples.shape == (8, length, 2)
    np.testing.assert_array_equal(np.sort(samples.ravel()), np.arange(steps * envs))
    t, n = np.divmod(samples, envs)
    assert (n == n[:, :1]).all()  # a column is of one environment
    assert (t == t[:, :1] + np.arange(length)[None, :, None]).all()  # and of successive steps
    assert (t[:, 0] % length == 0).all()
    other = np.asarray(minibatches(jax.random.key(3), (steps, envs), 6, length))
    assert (samples != other).any()


@pytest.mark.parametrize(("size", "length"), [(None, 12), (48, 12), (24, 12), (8, 4), (6, 6), (5 * 48, 12)])
def test_sequences_are_as_long_as_the_minibatch_allows_unless_told(size, length):
    envs = 20 if size == 240 else 4
    assert minibatches(jax.random.key(0), (12, envs), size, None).shape[1] == length
