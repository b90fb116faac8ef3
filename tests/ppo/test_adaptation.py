"""Which of β and the learning rate follows the KL. Trap 20."""

import jax.numpy as jnp
import pytest

from proximax.config.ppo_config import PPOConfig
from proximax.ppo.adaptation import adapt_after_update

BETA, RATE = jnp.float32(2.0), jnp.float32(0.003)


@pytest.mark.trap(20)
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"kl_control": "beta"}, (4.0, 0.003)),
        ({"kl_control": "learning_rate"}, (2.0, 0.002)),
        ({"kl_control": "stop"}, (2.0, 0.003)),
        ({"kl_control": "beta", "target_kl": None}, (2.0, 0.003)),
        ({"kl_control": "learning_rate", "target_kl": None}, (2.0, 0.003)),
    ],
)
def test_too_large_a_kl_moves_what_the_settings_say_and_nothing_else(settings, expected):
    after = adapt_after_update(PPOConfig(**{"target_kl": 0.01} | settings), BETA, RATE, {"kl": jnp.float32(0.05)})
    assert [float(x) for x in after] == pytest.approx(expected)
