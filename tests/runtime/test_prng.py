"""Random keys: the written-out threefry is JAX's, and keys made on the host share nothing."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximax.runtime.prng import key_from_data, seed_key, split_on_host

DRAWS = {
    "bits": lambda key: jax.random.bits(key, (5, 3)),
    "bytes": lambda key: jax.random.bits(key, (7,), "uint8"),
    "split": lambda key: jax.random.key_data(jax.random.split(key, (2, 3))),
    "fold_in": lambda key: jax.random.key_data(jax.random.fold_in(key, 2**31 + 7)),
    "normal": lambda key: jax.random.normal(key, (4,)),
    "uniform of split keys": lambda key: jax.vmap(jax.random.uniform)(jax.random.split(key, 5)),
    "beta": lambda key: jax.random.beta(key, 2.0, 3.0, (4,)),
    "permutation": lambda key: jax.random.permutation(key, 9),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWS)
def test_the_numbers_are_those_of_jaxs_own_threefry(name):
    words = np.array([0x9E3779B9, 2**32 - 3], np.uint32)
    own, theirs = key_from_data(words), jax.random.wrap_key_data(words, impl="threefry2x32")
    expected = DRAWS[name](theirs)
    np.testing.assert_array_equal(DRAWS[name](own), expected)
    np.testing.assert_array_equal(jax.jit(DRAWS[name])(own), expected)


@pytest.mark.optimised  # compiled without, it would be fast anyway
def test_a_draw_for_each_of_split_keys_compiles():
    words = np.array([3, 4], np.uint32)
    own, theirs = key_from_data(words), jax.random.wrap_key_data(words, impl="threefry2x32")
    draw = jax.jit(lambda key: jax.vmap(jax.random.bernoulli)(jax.random.split(key, 8)))
    np.testing.assert_array_equal(draw(own), draw(theirs))


def test_words_of_64_bits_are_jaxs_too():
    with jax.enable_x64(True):
        words = np.array([1, 2], np.uint32)
        expected = jax.random.bits(jax.random.wrap_key_data(words, impl="threefry2x32"), (3,), "uint64")
        np.testing.assert_array_equal(jax.random.bits(key_from_data(words), (3,), "uint64"), expected)


def test_the_published_test_vector_of_threefry():
    # Random123's known answers for threefry2x32, 20 rounds (Salmon et al. 2011).
    from proximax.runtime.prng import threefry

    for key, counter, answer in (
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ):
        got = threefry(jax.numpy.array(key, "uint32"), *(jax.numpy.uint32(word) for word in counter))
        assert tuple(int(word) for word in got) == answer


def test_neighbouring_seeds_and_their_children_share_nothing():
    keys = [key for seed in range(20) for key in (seed_key(seed), *split_on_host(seed_key(seed), 3))]
    words = np.stack([np.asarray(jax.random.key_data(key)) for key in keys])
    assert len(np.unique(words)) == words.size


WORD = st.integers(0, 2**32 - 1) | st.sampled_from([0, 2**32 - 1])
SEEDS = st.lists(st.integers(0, 2**63) | st.integers(0, 2**33), min_size=2, max_size=20, unique=True)


@given(WORD, WORD, WORD)
def test_any_key_draws_splits_and_folds_as_jaxs_own(one, two, data):
    words = np.array([one, two], np.uint32)
    mine, theirs = key_from_data(words), jax.random.wrap_key_data(words, impl="threefry2x32")
    np.testing.assert_array_equal(jax.random.bits(mine, (5,)), jax.random.bits(theirs, (5,)))
    for function in (lambda key: jax.random.split(key, 3), lambda key: jax.random.fold_in(key, np.uint32(data))):
        np.testing.assert_array_equal(*(jax.random.key_data(function(key)) for key in (mine, theirs)))


@given(SEEDS)
def test_any_two_seeds_and_their_children_share_nothing(seeds):
    keys = [key for seed in seeds for key in (seed_key(seed), *split_on_host(seed_key(seed), 3))]
    words = [tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys]
    assert len(set(words)) == len(words)
    again = np.asarray(jax.random.key_data(seed_key(seeds[0])))
    assert tuple(again.tolist()) == words[0]
