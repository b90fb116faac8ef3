"""What a run's time goes to: every part is measured on what the run would do, and operations are counted by formula."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

from proximax import PPOConfig, RunConfig
from proximax.config.atari_config import AtariConfig
from proximax.errors import UsageError
from proximax.profiling.throughput import bench, count_operations

SMALL = PPOConfig(num_steps=16, minibatch_size=32, epochs=2, hidden=(8, 8))


def expected_operations(rows, epochs, actor, critic, first):
    """π, V and V(final_obs) of the rollout; the epochs forward and backward; π again, with 21 bins, for metrics."""
    return rows * (2 * actor + 4 * critic + epochs * (6 * (actor + critic) - 4 * first) + 2 * actor + 2 * 21)


MORE = pytest.mark.exhaustive


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "seeds"),
    [
        pytest.param("CartPole-v1", 1, marks=pytest.mark.optimised),
        ("gymnax:CartPole-v1", 2),
        pytest.param("CartPole-v1", 2, marks=MORE),
        pytest.param("gymnax:CartPole-v1", 1, marks=MORE),
    ],
)
def test_all_parts_are_measured_and_operations_counted(env, seeds):
    if env.startswith("gymnax"):
        pytest.importorskip("gymnax")
    measured = bench(RunConfig(env, num_envs=4, seeds=seeds, ppo=SMALL), seconds=0.05)
    assert list(measured.parts) == ["environment", "acting", "learning"]
    assert measured.steps == 64 * seeds
    assert all(0 < seconds < 1 for seconds in (*measured.parts.values(), measured.whole))
    body = 4 * 8 + 8 * 8
    assert measured.operations == seeds * expected_operations(64, 2, body + 8 * 2, body + 8, 4 * 8)
    assert measured.product > 1e9
    assert 0 < measured.share < 1.5
    # 2 observations of 4 floats, an action, 3 more floats and 3 flags, 2 logits and 2 values after the rollout.
    assert measured.rollout_bytes == 64 * seeds * (2 * 16 + 4 + 3 * 4 + 3)


@pytest.mark.slow
def test_a_rollout_of_stacked_frames_is_stored_as_in_training():
    pytest.importorskip("ale_py")
    shown = AtariConfig(height=8, width=10, frame_cap=60)
    config = RunConfig("ALE/Pong-v5", num_envs=4, env_groups=2, network="mlp", atari=shown, ppo=SMALL)
    measured = bench(config, seconds=0.02)
    # Frames once, with room for two games' beginnings; where they lie, an action, 3 floats and 3 flags; ages.
    assert measured.rollout_bytes == 4 * (16 + 4 + 2 * 4) * 80 + 64 * (2 * 4 + 4 + 3 * 4 + 3) + 4 * 4


@pytest.mark.slow
def test_shards_are_not_measured():
    with pytest.raises(UsageError, match="shards = 2: bench measures what one process does alone"):
        bench(RunConfig("CartPole-v1", num_envs=2, shards=2, ppo=SMALL))


@pytest.mark.slow
def test_a_users_own_environment_object_stays_open():
    env = SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2, autoreset_mode="Disabled")
    env.metadata["autoreset_mode"] = gymnasium.vector.AutoresetMode.DISABLED
    bench(RunConfig("object", num_envs=2, ppo=SMALL), env, seconds=0.02)
    assert not env.closed
    env.close()


def test_products_convolutions_and_loops_are_counted():
    a, b = jnp.ones((3, 4)), jnp.ones((4, 5))
    loop = lambda a, b: jax.lax.scan(lambda c, _: (c, a @ b), 0, None, length=7)  # noqa: E731
    assert count_operations(jax.make_jaxpr(loop)(a, b).jaxpr) == 7 * 2 * 3 * 4 * 5
    either = lambda a, b: jax.lax.cond(a[0, 0] > 0, lambda: a @ b, lambda: jnp.zeros((3, 5)))  # noqa: E731
    assert count_operations(jax.make_jaxpr(jax.jit(either))(a, b).jaxpr) == 2 * 3 * 4 * 5
    image, kernel = jnp.ones((2, 6, 6, 3)), jnp.ones((3, 3, 3, 8))
    convolve = lambda x, w: jax.lax.conv_general_dilated(  # noqa: E731
        x, w, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    assert count_operations(jax.make_jaxpr(convolve)(image, kernel).jaxpr) == 2 * (3 * 3 * 3) * np.prod((2, 4, 4, 8))
