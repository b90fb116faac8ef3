"""Fresh starts only where an episode ended: the same values as ``auto_reset``, one condition for a whole batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from proximax.envs.lazy_reset import reset_where_ended


def start(key):
    return {"x": jax.random.normal(key, (2,)), "t": jnp.zeros((), jnp.int32)}


REACHED = {"x": jnp.arange(12.0).reshape(3, 2, 2), "t": jnp.arange(1, 7).reshape(3, 2)}
KEYS = jax.random.split(jax.random.key(0), (3, 2))
STARTS = jax.vmap(jax.vmap(start))(KEYS)
CHOOSE = jax.jit(jax.vmap(jax.vmap(reset_where_ended(start))))


def at(place, tree):
    return jax.tree.map(lambda x: x[place], tree)


def operations(jaxpr):
    """Those of a program, and of the rules of ``vmap`` in it, which are put in their place when it is compiled."""
    for eqn in jaxpr.eqns:
        yield from operations(eqn.params["call"].jaxpr) if eqn.primitive.name == "custom_vmap_call" else [eqn]


@pytest.mark.trap(8)
@pytest.mark.parametrize("ended", [[], [(1, 0)], [(0, 0), (0, 1), (2, 1)]])
def test_environments_that_ended_begin_at_starts_of_their_own_and_the_others_go_on(ended):
    last = np.zeros((3, 2), bool)
    for place in ended:
        last[place] = True
    chosen = CHOOSE(jnp.asarray(last), KEYS, REACHED)
    for place in np.ndindex(3, 2):
        jax.tree.map(np.testing.assert_array_equal, at(place, chosen), at(place, STARTS if last[place] else REACHED))


def test_starts_are_computed_inside_one_condition_for_all_environments_of_all_seeds():
    traced = jax.make_jaxpr(CHOOSE)(jnp.zeros((3, 2), bool), KEYS, REACHED)
    found = [eqn for program in traced.eqns for eqn in operations(program.params["jaxpr"].jaxpr)]  # inside jit
    (condition,) = [eqn for eqn in found if eqn.primitive.name == "cond"]
    assert condition.invars[0].aval.shape == ()
    assert ["random_bits" in str(eqn) for eqn in found] == [eqn is condition for eqn in found]


def test_what_is_the_same_for_all_environments_is_repeated():
    reached = at((0, 0), REACHED)
    choose = jax.jit(jax.vmap(reset_where_ended(start), in_axes=(0, None, None)))
    chosen = choose(jnp.array([True, False]), KEYS[0, 0], reached)
    for place, expected in enumerate((at((0, 0), STARTS), reached)):
        jax.tree.map(np.testing.assert_array_equal, at(place, chosen), expected)
