"""Evaluation: fair to short episodes, raw rewards, deterministic, frozen. TRAPS.md 28, 33."""

import jax
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from toys import Script, vector

import proximax
from proximax.agent import Agent
from proximax.config import PPOConfig
from proximax.envs import env_seeds, probe
from proximax.errors import CheckpointError, UsageError
from proximax.evaluate import EVALUATION_SEED, evaluate
from proximax.policy import make_policy


def agent(env, seed=0, moments=None):
    policy = make_policy(env.observation_space, env.action_space, PPOConfig())
    return Agent(policy, policy.init(jax.random.key(seed)), moments, env.observation_space, env.action_space)


def by_hand(seed, episodes):
    """(returns, lengths) of the first episodes of one ``Script``."""
    env, out = Script(), []
    env.reset(seed=seed)
    for _ in range(episodes):
        total, length, ended = 0.0, 0, False
        while not ended:
            _, reward, terminated, truncated, _ = env.step(0)
            total, length, ended = total + reward, length + 1, terminated or truncated
        out.append((total, length))
        env.reset()
    return out


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_trap_33_every_environment_plays_its_quota_and_returns_are_exact(mode):
    # 10 episodes on 4 environments: 3, 3, 2, 2 each; short episodes do not push out long ones.
    result = evaluate(agent(Script()), 10, env=vector(Script, 4, mode), seed=7)
    expected = [pair for seed, n in zip(env_seeds(EVALUATION_SEED + 7, 4), (3, 3, 2, 2)) for pair in by_hand(seed, n)]
    np.testing.assert_array_equal(result.lengths[0], [length for _, length in expected])
    np.testing.assert_allclose(result.returns[0], [total for total, _ in expected], rtol=1e-12)


def test_a_jax_environment_plays_one_episode_in_each_copy():
    env = probe.endless(4)
    result = evaluate(agent(env), 6, env=env)
    np.testing.assert_array_equal(result.returns, np.full((1, 6), 4.0))
    np.testing.assert_array_equal(result.lengths, np.full((1, 6), 4))


def test_same_seed_same_score_other_seed_other_starts():
    one = agent(Script())
    a, b, c = (evaluate(one, 8, env=Script, seed=seed).returns for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_actions_are_the_mode_unless_sampled():
    class Tells(Script):
        observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

        def _obs(self):
            return np.ones(1, np.float32)

        def step(self, action):
            obs, _, terminated, truncated, info = super().step(action)
            return obs, float(action[0]), terminated, truncated, info

    one = agent(Tells())
    mode = evaluate(one, 10, env=Tells)
    per_step = mode.returns / mode.lengths
    assert np.ptp(per_step) < 1e-6  # the same action always
    sampled = evaluate(one, 10, env=Tells, sample=True)
    assert np.ptp(sampled.returns / sampled.lengths) > 0.05
    np.testing.assert_array_equal(sampled.returns, evaluate(one, 10, env=Tells, sample=True).returns)


def test_what_cannot_be_evaluated_is_said(tmp_path):
    with pytest.raises(UsageError, match="episodes = 0"):
        evaluate(agent(Script()), 0, env=Script)
    with pytest.raises(UsageError, match="pass env="):
        evaluate(agent(Script()), 3)
    with pytest.raises(CheckpointError, match=r"observation space is .*\(3,\).*, the environment's is .*\(4,\)"):
        evaluate(agent(Script()), 3, env="CartPole-v1")
    with pytest.raises(CheckpointError, match=r"config.json is missing"):
        evaluate(tmp_path)


def test_a_package_named_only_by_the_run_is_not_imported_without_leave(tmp_path, monkeypatch):
    (tmp_path / "their_envs.py").write_text(
        "import gymnasium, pathlib, toys\n"
        f"pathlib.Path({str(tmp_path / 'canary')!r}).write_text('imported')\n"
        "gymnasium.register('Theirs-v0', entry_point=toys.Script)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    quick = {"steps": 128, "num_steps": 32, "num_envs": 4, "minibatch_size": 64, "epochs": 1, "eval_episodes": 2}
    proximax.train("their_envs:Theirs-v0", out=tmp_path / "run", quiet=True, **quick)
    (tmp_path / "canary").unlink()
    import sys

    del sys.modules["their_envs"]
    with pytest.raises(UsageError, match="--allow-import"):
        evaluate(tmp_path / "run", 2, allow_import=False)
    assert not (tmp_path / "canary").exists()
    assert evaluate(tmp_path / "run", 2, allow_import=True).returns.shape == (1, 2)
