"""Functions of the user: what is wrong with them is said by their names."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from proximax.errors import EnvError, UsageError
from proximax.runtime.user_functions import apply_reward_hook, call_user_function, kind_of
from proximax.types import RewardHook

ROLLOUT = SimpleNamespace(reward=jnp.ones((3, 2)))


def test_what_a_function_raises_is_said_with_its_name_and_our_own_errors_pass():
    assert call_user_function("double", lambda x: 2 * x, 3) == 6
    with pytest.raises(UsageError, match="objective spo raised ZeroDivisionError"):
        call_user_function("objective spo", lambda x: 1 / x, 0)

    def fails():
        raise EnvError("mine")

    with pytest.raises(EnvError, match=r"^mine$"):
        call_user_function("hook", fails)


def test_what_was_given_is_called_by_its_shape_or_its_type():
    kinds = [kind_of(x) for x in (jnp.ones((2, 3)), np.float32(1), 2.0, (1, 2), None, "text")]
    assert kinds == ["shape (2, 3)", "shape ()", "shape ()", "type tuple of 2", "type NoneType", "type str"]


def hook(apply):
    return RewardHook("mine", lambda *_: (), apply)


def test_a_hook_that_keeps_to_its_form_gives_what_it_gives():
    good = hook(lambda state, rollout: (2 * rollout.reward, state + 1, {"mean": jnp.mean(rollout.reward)}))
    reward, state, metrics = apply_reward_hook(good, jnp.zeros(()), ROLLOUT)
    np.testing.assert_array_equal(reward, np.full((3, 2), 2.0))
    assert (float(state), {name: float(x) for name, x in metrics.items()}) == (1.0, {"mean": 1.0})


@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (lambda state, rollout: rollout.reward, r"gives shape \(3, 2\); must be \(rewards, its next state"),
        (lambda state, rollout: (rollout.reward, state), "gives type tuple of 2; must be"),
        (lambda state, rollout: (rollout.reward.sum(), state, {}), r"gives rewards of shape \(\); must be \(3, 2\)"),
        (
            lambda state, rollout: (rollout.reward, state, {"a": rollout.reward}),
            r"gives the metric a of shape \(3, 2\)",
        ),
        (lambda state, rollout: (rollout.reward, (state, state), {}), "gives a next state of"),
        (lambda state, rollout: rollout.rewards, "raised AttributeError"),
    ],
)
def test_a_hook_of_another_form_is_refused_with_what_it_gave(apply, message):
    with pytest.raises(UsageError, match=f"^reward_hook mine {message}"):
        apply_reward_hook(hook(apply), jnp.zeros(()), ROLLOUT)
