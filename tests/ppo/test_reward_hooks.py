"""Reward hooks: what they give is what is learned from; another form is refused by name."""

import jax.numpy as jnp
import numpy as np
import pytest

from proximax.errors import UsageError
from proximax.ppo.reward_hooks import change_rewards
from proximax.types import RewardHook, Transition

ROLLOUT = Transition(*[None] * 5, reward=jnp.ones((3, 2)), terminated=None, truncated=None, valid=None)


def hook(apply):
    return RewardHook("mine", lambda *_: (), apply)


def test_a_hook_that_keeps_to_its_form_gives_what_it_gives():
    good = hook(lambda state, rollout: (2 * rollout.reward, state + 1, {"mean": jnp.mean(rollout.reward)}))
    rollout, state, metrics = change_rewards(good, jnp.zeros(()), ROLLOUT)
    np.testing.assert_array_equal(rollout.reward, np.full((3, 2), 2.0))
    assert (float(state), {name: float(x) for name, x in metrics.items()}) == (1.0, {"mine_mean": 1.0})


def test_without_a_hook_the_rollout_is_what_it_was():
    assert change_rewards(None, (), ROLLOUT) == (ROLLOUT, (), {})


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
        change_rewards(hook(apply), jnp.zeros(()), ROLLOUT)
