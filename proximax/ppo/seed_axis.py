"""Several seeds as one leading axis S."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proximax.config import shown
from proximax.errors import UsageError
from proximax.runtime import key_from_data
from proximax.types import TrainState


def stack_seeds(states: Sequence[TrainState]) -> TrainState:
    """One state with a leading axis S for ``vmap``."""
    if not states or not all(isinstance(state, TrainState) for state in states):
        raise UsageError(f"states = {shown(states)}: must be a list of states, as make_learner's init gives them")

    def stack(*leaves: Any) -> Any:
        if jnp.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
            return key_from_data(np.stack([np.asarray(jax.random.key_data(x)) for x in leaves]))
        return np.stack([np.asarray(x) for x in leaves])  # NumPy: no program to compile

    return jax.tree.map(stack, *states)
