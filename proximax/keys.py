"""Random keys for start-up code, made without compiling a program (``jax.random.split`` alone takes 0.1 s)."""

from typing import Any

import jax
import numpy as np

from proximax.types import Key


def host_key(words: Any) -> Key:
    """A key, or an array of keys, from ``[..., 2]`` 32-bit words, without compiling anything."""
    return jax.random.wrap_key_data(words, impl="threefry2x32")


def seed_key(seed: int) -> Key:
    """The key of a run's seed: hashed, so that neighbouring seeds share nothing, and made without compiling."""
    return split_on_host(host_key(np.array([(seed >> 32) & 0xFFFFFFFF, seed & 0xFFFFFFFF], np.uint32)), 1)[0]


def split_on_host(key: Key, num: int) -> list[Key]:
    """``jax.random.split`` for start-up code: NumPy's seed hashing instead of a compiled program (0.1 s)."""
    data = np.asarray(jax.random.key_data(key))
    words = np.random.SeedSequence(data.tolist()).generate_state(num * data.size).reshape(num, data.size)
    return [host_key(row) for row in words]
