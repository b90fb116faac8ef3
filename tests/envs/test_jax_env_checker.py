"""What a ``JaxEnv`` is told whose ``reset`` and ``step`` do not fit its spaces and each other; nothing is run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from proximax.envs import JaxEnv, make_env
from proximax.errors import EnvError
from proximax.types import Step

ZEROS, FALSE = jnp.zeros(2), jnp.zeros((), bool)


def counting(start=ZEROS, **wrong):
    """Two zeros, then two ones; ``wrong``: fields of ``Step`` that are something else."""

    def step(key, t, action):
        fields = {"obs": jnp.ones(2), "final_obs": jnp.ones(2), "reward": jnp.ones(()), "valid": jnp.ones(())}
        return t + 1, Step(**fields | {"terminated": FALSE, "truncated": FALSE, "first": FALSE} | wrong)

    space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    return JaxEnv(lambda key: (jnp.int32(0), start), step, space, spaces.Discrete(2))


@pytest.mark.fault(9)
@pytest.mark.parametrize(
    ("obs", "text"),
    [
        ({"a": jnp.zeros(2), "n": jnp.int32(1), "b": jnp.zeros(1)}, "has the entry 'b', which its space lacks"),
        ({"a": jnp.zeros(2)}, "lacks the entry 'n'"),
        ({"a": jnp.zeros(3), "n": jnp.int32(1)}, r"observation\['a'\] has shape \(3,\), its space Box.* says \(2,\)"),
        (
            {"a": jnp.zeros(2), "n": jnp.zeros(())},
            r"observation\['n'\] is of float32, its space Discrete\(3\) says integers",
        ),
    ],
)
def test_a_jax_environment_unlike_its_space_is_refused_without_running_it(obs, text):
    space = spaces.Dict(a=spaces.Box(-1.0, 1.0, (2,)), n=spaces.Discrete(3))
    env = JaxEnv(lambda key: ((), obs), None, space, spaces.Discrete(2))
    with pytest.raises(EnvError, match=text):
        make_env(env)


@pytest.mark.fault(9)
@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"start": jnp.zeros(2, int)}, r"Step.obs is of float32 and shape \(2,\), the observation of reset of int32"),
        ({"start": "zeros"}, "raised in reset while it was traced: TypeError"),
        ({"obs": jnp.ones(3)}, r"Step.obs has shape \(3,\), its space Box.* says \(2,\)"),
        ({"final_obs": jnp.ones(2, int)}, r"Step.final_obs is of int32"),
        ({"final_obs": None}, "Step.final_obs is a NoneType, its space .* says one array"),
        ({"reward": jnp.ones(2)}, r"Step.reward is of float32 and shape \(2,\): it must be one number, of shape \(\)"),
        ({"terminated": jnp.zeros(())}, r"Step.terminated is of float32 and shape \(\): it must be one bool"),
        ({"truncated": None}, "Step.truncated is a NoneType: it must be one bool"),
        ({"first": jnp.int32(0)}, "Step.first is of int32"),
        ({"valid": jnp.ones(1)}, r"Step.valid is of float32 and shape \(1,\)"),
        ({"episode_over": jnp.zeros(())}, "Step.episode_over is of float32"),
    ],
)
def test_a_field_of_a_jax_environment_that_is_not_as_documented_is_named(wrong, text):
    with pytest.raises(EnvError, match=text):
        make_env(counting(**wrong))


@pytest.mark.fault(9)
@pytest.mark.parametrize(
    ("method", "call", "text"),
    [
        ("reset", lambda key: (jnp.zeros(2), jnp.int32(0)), r"must return \(state, obs\) in this order; it returned"),
        ("reset", lambda key: jnp.zeros(2), r"must return \(state, obs\)"),
        ("step", lambda *_: (0, jnp.zeros(2), 1.0, False, {"a": "text"}), r"returned 5 values: .* \(state, Step\)"),
        ("step", lambda *_: (0, {}), r"returned \(int, dict\): it must return \(state, Step\)"),
        ("step", lambda key, t, action: 1 // 0, "raised in step while it was traced: ZeroDivisionError: "),
        (
            "step",
            lambda key, t, action: (t + 0.5, counting().step(key, t, action)[1]),
            "the state that step returns is of float32",
        ),
        ("step", lambda key, t, action: ((t, t), counting().step(key, t, action)[1]), "has the structure"),
    ],
)
def test_a_method_of_a_jax_environment_that_returns_something_else_is_named(method, call, text):
    with pytest.raises(EnvError, match=text):
        make_env(counting()._replace(**{method: call}))


def test_numbers_of_python_and_settings_of_64_bits_are_no_fault():
    env = counting(reward=1, valid=True, truncated=False)
    env = env._replace(reset=lambda key: (0, jnp.zeros(2)))
    with jax.enable_x64(True):
        assert make_env(env) is env
