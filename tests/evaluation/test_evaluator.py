"""Evaluation: fair to short episodes, raw rewards, deterministic, frozen. Traps 28, 33."""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import proximax
from proximax.config.ppo_config import PPOConfig
from proximax.envs import JaxEnv, auto_reset, env_seeds, probe
from proximax.errors import CheckpointError, EnvError, NumericalError, UsageError
from proximax.evaluation.evaluator import Purpose, compensated_sum, evaluate, evaluation_seed
from proximax.evaluation.subjects import merge_env_kwargs
from proximax.policy.agent import Agent
from proximax.policy.policy import make_policy
from proximax.runs import load_config
from proximax.types import Step
from tests.support.toy_envs import Games, games_jax, lawful_jax, vector
from tests.support.toy_gym import ACTIONS, NESTED_OBS, Lawful, Script, as_array, as_tree


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


@pytest.mark.trap(33)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_every_environment_plays_its_quota_and_returns_are_exact(mode):
    # 10 episodes on 4 environments: 3, 3, 2, 2 each; short episodes do not push out long ones.
    result = evaluate(agent(Script()), 10, env=vector(Script, 4, mode), seed=7)
    expected = [pair for seed, n in zip(env_seeds(evaluation_seed(0, 7), 4), (3, 3, 2, 2)) for pair in by_hand(seed, n)]
    np.testing.assert_array_equal(result.lengths[0], [length for _, length in expected])
    assert result.lengths.dtype == np.int64
    np.testing.assert_allclose(result.returns[0], [total for total, _ in expected], rtol=1e-12)


def test_a_jax_environment_plays_one_episode_in_each_copy():
    env = probe.endless(4)
    result = evaluate(agent(env), 6, env=env)
    np.testing.assert_array_equal(result.returns, np.full((1, 6), 4.0))
    np.testing.assert_array_equal(result.lengths, np.full((1, 6), 4))
    assert result.lengths.dtype == np.int64


def test_same_seed_same_score_other_seed_other_starts():
    one = agent(Script())
    a, b, c = (evaluate(one, 8, env=Script, seed=seed).returns for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.slow
@pytest.mark.trap(43)
def test_every_seed_update_and_purpose_has_starts_of_its_own():
    used = {evaluation_seed(seed, salt, purpose) for seed in range(20) for salt in range(20) for purpose in Purpose}
    assert len(used) == 20 * 20 * len(Purpose)
    assert all(0 <= seed < 2**63 for seed in used)
    training = {env_seed for seed in range(20) for env_seed in env_seeds(seed, 8)}
    assert not training & {env_seed for seed in used for env_seed in env_seeds(seed, 8)}


@pytest.mark.trap(44)
def test_a_long_compensated_sum_is_that_of_float64():
    x = np.random.default_rng(0).normal(0.1, 1.0, (30_000, 3)).astype(np.float32)
    add = jax.jit(lambda total, part: (compensated_sum(total, part), None))
    (total, lost), _ = jax.lax.scan(add, (jnp.zeros(3), jnp.zeros(3)), x)
    exact = x.astype(np.float64).sum(axis=0)
    plain, _ = jax.lax.scan(lambda total, part: (total + part, None), jnp.zeros(3), x)
    assert np.abs(np.asarray(plain) - exact).max() > 1e-4
    np.testing.assert_allclose(np.asarray(total, np.float64) + np.asarray(lost), exact, rtol=1e-9)
    for wrong in (np.inf, np.nan):
        (total, lost), _ = jax.lax.scan(add, (jnp.zeros(1), jnp.zeros(1)), np.float32([[wrong], [1.0]]))
        np.testing.assert_array_equal(total + lost, np.float32([wrong]))


@pytest.mark.trap(44)
def test_the_return_of_a_long_episode_on_a_jax_environment_is_exact():
    def step(key, t, action):
        obs, last = jnp.zeros(1), t + 1 == 20_000
        reward = jnp.where(t == 0, 2.0**24, 1.0)  # in float32 2²⁴ + 1 = 2²⁴
        return jnp.where(last, 0, t + 1), Step(obs, obs, reward, last, jnp.bool_(False), last, jnp.ones(()))

    env = JaxEnv(lambda key: (jnp.int32(0), jnp.zeros(1)), step, spaces.Box(-1, 1, (1,)), spaces.Discrete(2))
    result = evaluate(agent(env), 1, env=env)
    assert result.returns.tolist() == [[2.0**24 + 19_999]]


@pytest.mark.fault(8)
@pytest.mark.parametrize("reward", [jnp.nan, jnp.inf])
def test_a_reward_that_is_not_finite_ends_the_evaluation_on_a_jax_environment(reward):
    env = probe.endless(4)

    def step(key, state, action):
        state, s = env.step(key, state, action)
        return state, s._replace(reward=jnp.full_like(s.reward, reward))

    with pytest.raises(NumericalError, match=r"return of environment 0 is (nan|inf): a reward is not finite"):
        evaluate(agent(env), 2, env=env._replace(step=step))


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


@pytest.mark.slow
def test_a_package_named_only_by_the_run_is_not_imported_without_leave(tmp_path, monkeypatch):
    (tmp_path / "their_envs.py").write_text(
        "import gymnasium, pathlib\nfrom tests.support import toy_gym\n"
        f"pathlib.Path({str(tmp_path / 'canary')!r}).write_text('imported')\n"
        "gymnasium.register('Theirs-v0', entry_point=toy_gym.Script)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    quick = {"steps": 128, "num_steps": 32, "num_envs": 4, "minibatch_size": 64, "epochs": 1, "eval_episodes": 2}
    proximax.train("their_envs:Theirs-v0", out=tmp_path / "run", quiet=True, **quick)
    (tmp_path / "canary").unlink()
    del sys.modules["their_envs"]
    ways = {
        "evaluate": lambda: evaluate(tmp_path / "run", 2),
        "video": lambda: proximax.video(tmp_path / "run", tmp_path / "x.gif"),
        "train": lambda: proximax.train("CartPole-v1", out=tmp_path / "run", resume=True, quiet=True, **quick),
    }
    for name, way in ways.items():
        remedy = "Only these may change" if name == "train" else "--allow-import, in Python allow_import=True"
        with pytest.raises((UsageError, CheckpointError), match=remedy):
            way()
        assert not (tmp_path / "canary").exists()
        assert "their_envs" not in sys.modules
    assert evaluate(tmp_path / "run", 2, allow_import=True).returns.shape == (1, 2)
    assert evaluate(tmp_path / "run", 2).returns.shape == (1, 2)  # imported by now: nothing new runs
    del sys.modules["their_envs"]
    assert evaluate(tmp_path / "run", 2, env="their_envs:Theirs-v0").returns.shape == (1, 2)  # the caller names it


# ---------------------------------------------------------------- nested spaces and masks

QUICK = {"steps": 32, "num_steps": 8, "minibatch_size": None, "epochs": 1, "hidden": (4,), "eval_episodes": 4}
QUICK |= {"quiet": True, "preset": "none"}


def juggle():
    """Dict observations with a mask, Tuple actions, one step: pays 1 for the one action allowed, and 0.1 times (x, y).

    The Box wants (1, 4), its upper bounds: 0.5 at most.
    """
    space = spaces.Dict(action_mask=spaces.MultiBinary(3), eye=spaces.Box(0, 255, (3,), np.uint8))
    hands = spaces.Tuple((spaces.Discrete(3, start=1), spaces.Box(np.float32([-1, 0]), np.float32([1, 4]))))

    def reset(key):
        wanted = jax.random.randint(key, (), 0, 3)
        mask = jax.nn.one_hot(wanted, 3).astype(np.int8)
        return wanted, {"action_mask": mask, "eye": 255 * mask.astype(np.uint8)}

    def step(key, wanted, action):
        pick, place = action
        reached = {"action_mask": jnp.zeros(3, np.int8), "eye": jnp.zeros(3, np.uint8)}  # nothing is allowed here
        state, obs = auto_reset(jnp.ones((), bool), reset(key), (wanted, reached))
        pay = (pick == wanted + 1).astype(jnp.float32) + 0.1 * jnp.sum(place)
        flags = jnp.ones((), bool), jnp.zeros((), bool), jnp.ones((), bool)
        return state, Step(obs, reached, pay, *flags, jnp.ones(()))

    return JaxEnv(reset, step, space, hands)


@pytest.mark.slow
@pytest.mark.trap(15)
def test_a_jax_environment_of_nested_spaces_and_masks_trains_and_evaluates():
    env = juggle()
    settings = {
        "steps": 32 * 8 * 20,
        "num_steps": 32,
        "num_envs": 8,
        "learning_rate": 0.02,
        "anneal": "none",
        "epochs": 4,
    }
    result = proximax.train(env, seeds=2, **QUICK | settings)
    assert all(row["finite"] == 1 and row["first_ratio_error"] <= 1e-5 for row in result.history)
    assert min(row["episode_return"] for row in result.history) > 0.5  # the mask leaves but one to pick
    assert result.evaluation.returns.shape == (2, 4)
    assert result.evaluation.worst > 1.4  # the Box has been learned: at most 1.5
    again = evaluate(result.agent, 6, env=env)
    np.testing.assert_array_equal(again.lengths, np.ones((1, 6)))
    assert again.mean > 1.4
    obs = {"action_mask": [0, 0, 1], "eye": [0, 0, 255]}
    pick, place = result.agent.act(obs)
    assert pick == 3
    np.testing.assert_allclose(place, [1, 4], atol=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("sample", [False, True])
def test_an_evaluation_keeps_to_the_masks_and_spaces_of_nested_environments(sample):
    space = ACTIONS["nested"]
    for masks, form in (("info", as_tree), ("key", as_tree), ("", as_tree)):
        make = partial(Lawful, space, masks, form, True)  # raises for an action against the law
        env = proximax.make_env(make, 4)
        result = evaluate(agent(env), 10, env=make, sample=sample)
        np.testing.assert_array_equal(result.returns, result.lengths)
        assert result.lengths.max() > 1
    env = lawful_jax(space, masked=True, nested=True)  # pays -100
    result = evaluate(agent(env), 10, env=env, sample=sample)
    np.testing.assert_array_equal(result.returns, result.lengths)


class Blocks(Script):
    """Episodes of four steps with a mask of three; that of step ``t`` of episode ``episode`` allows nothing."""

    action_space = spaces.Discrete(3)

    def __init__(self, t=-1, episode=-1):
        super().__init__((4, 4))
        self.blocked = episode, t

    def _info(self):
        free = (self.episode, self.t) != self.blocked and self.t < 4  # terminal observations allow nothing either
        return {"action_mask": np.full(3, free, np.int8)}

    def reset(self, **how):
        return super().reset(**how)[0], self._info()

    def step(self, action):
        return *super().step(action)[:4], self._info()


@pytest.mark.trap(15)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_an_evaluation_refuses_a_mask_that_allows_nothing_with_its_environment_and_step(mode):
    def env(**blocked):
        return SyncVectorEnv([Blocks, partial(Blocks, **blocked)], autoreset_mode=mode)

    one = agent(proximax.make_env(env()))
    np.testing.assert_array_equal(evaluate(one, 6, env=env()).lengths, np.full((1, 6), 4))
    for t in (0, 3):
        text = f"action mask of environment 1 allowed nothing at step {t} of its episode, in an evaluation"
        with pytest.raises(EnvError, match=text):
            evaluate(one, 6, env=env(t=t, episode=1))
    evaluate(one, 3, env=env(t=2, episode=1))  # the second environment has played its one episode by then


@pytest.mark.slow
@pytest.mark.trap(15)
def test_an_evaluation_refuses_a_jax_environment_whose_mask_allows_nothing():
    env = lawful_jax(ACTIONS["discrete"], masked=True)
    one = agent(env)
    assert np.isfinite(evaluate(one, 8, env=env).returns).all()

    def block(obs, script):
        return {**obs, "action_mask": jnp.where(script[1] == 2, 0, obs["action_mask"])}

    def step(key, state, action):
        state, s = env.step(key, state, action)
        return state, s._replace(obs=block(s.obs, s.obs["script"]))

    with pytest.raises(EnvError, match=r"mask of environment \d allowed nothing at step 2 of its episode"):
        evaluate(one, 8, env=env._replace(step=step))

    def reset(key):
        state, obs = env.reset(key)
        return state, {**obs, "action_mask": jnp.zeros_like(obs["action_mask"])}

    with pytest.raises(EnvError, match="mask of environment 0 allowed nothing at step 0 of its episode"):
        evaluate(one, 8, env=env._replace(reset=reset))


@pytest.mark.trap(33)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED])
def test_nested_episodes_are_those_played_by_hand_in_every_autoreset_mode(mode):
    make = partial(Lawful, ACTIONS["nested"], "", as_tree, True)
    result = evaluate(agent(make()), 7, env=vector(make, 3, mode), seed=3)
    expected = []
    for seed, quota in zip(env_seeds(evaluation_seed(0, 3), 3), (3, 2, 2)):
        env = make()
        env.reset(seed=seed)
        for _ in range(quota):
            expected.append(env.length)
            while env.t < env.length:
                env.step(
                    {"aim": np.array([[3], [1]]), "arm": (np.zeros(2, np.float32), np.zeros(2, np.int8)), "turn": 0}
                )
            env.reset()
    np.testing.assert_array_equal(result.lengths[0], expected)


@pytest.mark.slow
def test_a_run_of_nested_spaces_is_evaluated_from_disk(tmp_path):
    make = partial(Lawful, ACTIONS["nested"], "info", as_tree, True)
    result = proximax.train(make, out=tmp_path / "run", num_envs=2, seeds=2, **QUICK)
    again = evaluate(tmp_path / "run", 4, env=make)
    np.testing.assert_array_equal(again.lengths.shape, (2, 4))
    np.testing.assert_array_equal(again.returns, again.lengths)
    assert result.agents[0].observation_space["obs"] == NESTED_OBS
    with pytest.raises(CheckpointError, match="the policy's observation space is"):
        evaluate(tmp_path / "run", 2, env=partial(Lawful, ACTIONS["nested"], "", as_tree, True))  # without masks
    with pytest.raises(CheckpointError, match="the policy's action space is"):
        evaluate(result.agent, 2, env=partial(Lawful, spaces.Discrete(13), "info", as_array, True))


# ---------------------------------------------------------------- scores that are not what is learned from


@pytest.mark.trap(33)
@pytest.mark.parametrize("env", [lambda: Games(2), games_jax], ids=["host", "jax"])
def test_an_evaluation_scores_raw_rewards_of_whole_games(env):
    result = evaluate(agent(env()), 5, env=env())
    np.testing.assert_array_equal(result.returns, np.full((1, 5), 7.0))
    np.testing.assert_array_equal(result.lengths, np.full((1, 5), 3))


@pytest.mark.trap(33)
def test_a_compiled_evaluation_counts_one_episode_of_each_environment():
    env = lawful_jax(ACTIONS["discrete"])  # a step pays 1; the longest episode has several times the shortest's steps
    result = evaluate(agent(env), 16, env=env)
    assert result.lengths.max() >= 3 * result.lengths.min()
    np.testing.assert_array_equal(result.returns, result.lengths)


@pytest.fixture(scope="module")
def short_pole(tmp_path_factory):
    """A run on gymnax's CartPole with a pole of its own, and a file of its policy."""
    out = tmp_path_factory.mktemp("runs") / "short"
    settings = {"num_envs": 2, "num_steps": 8, "minibatch_size": 8, "epochs": 1, "eval_episodes": 2, "hidden": (4,)}
    kwargs = {"env_kwargs": {"length": 0.3}, "preset": "none", "quiet": True, "out": out}
    result = proximax.train("gymnax:CartPole-v1", steps=16, **settings, **kwargs)
    return out, result.save(out.parent / "policy.safetensors")


@pytest.mark.parametrize(
    ("env", "given", "made", "note"),
    [
        (None, None, {"length": 0.3}, False),
        ("gymnax:CartPole-v1", None, {"length": 0.3}, False),
        ("gymnax:CartPole-v1", {"force_mag": 5.0}, {"length": 0.3, "force_mag": 5.0}, True),
        (None, {"length": 1.0}, {"length": 1.0}, True),
        ("CartPole-v1", None, {}, False),
        ("CartPole-v1", {"sutton_barto_reward": True}, {"sutton_barto_reward": True}, False),
    ],
)
def test_arguments_of_the_constructor_are_merged_over_the_runs_own(short_pole, caplog, env, given, made, note):
    with caplog.at_level("INFO", logger="proximax"):
        assert merge_env_kwargs(load_config(short_pole[0]), env, given) == made
    assert ("the run was trained with {'length': 0.3}" in caplog.text) is note


def test_an_environment_that_was_given_is_made_with_its_arguments(short_pole):
    run, policy = short_pole
    for source in (run, policy, str(policy)):
        scores = proximax.evaluate(source, 2, env="CartPole-v1", env_kwargs={"sutton_barto_reward": True})
        assert set(scores.returns.ravel()) == {-1.0}
    with pytest.raises(UsageError, match="no_such"):
        proximax.evaluate(run, 2, env_kwargs={"no_such": 1})


def test_one_policy_needs_an_environment(short_pole):
    policy = short_pole[1]
    for function in (proximax.evaluate, proximax.video):
        with pytest.raises(UsageError, match=r"an Agent does not know its environment: pass env=\.\.\."):
            function(proximax.load(policy))
        with pytest.raises(UsageError, match=r"the policy in .*policy.safetensors does not know its environment"):
            function(policy)
    with pytest.raises(UsageError, match="needs a file: pass out="):
        proximax.video(policy, env="CartPole-v1")
