"""How observations are stored: the dtype of each leaf."""

from typing import Any

import numpy as np
from gymnasium import spaces

from proximax.spaces.tree import Space, flatten, leaves, unflatten
from proximax.types import PyTree


def obs_dtype(leaf: Space) -> np.dtype[Any]:
    """The dtype observations are stored in: integers stay as they are (bytes as bytes), floats become float32."""
    if isinstance(leaf, spaces.Discrete):
        return np.dtype(np.int32)
    assert leaf.dtype is not None
    return np.dtype(np.float32) if np.issubdtype(leaf.dtype, np.floating) else np.dtype(leaf.dtype)


def to_stored(space: Space, obs: PyTree) -> PyTree:
    """Observations of any array kind as a plain tree of NumPy arrays in the stored dtypes; copies only where needed."""
    if not isinstance(space, (spaces.Dict, spaces.Tuple)):
        return np.asarray(obs, obs_dtype(space))
    return unflatten(
        space, iter([np.asarray(x, obs_dtype(leaf)) for leaf, x in zip(leaves(space), flatten(space, obs))])
    )
