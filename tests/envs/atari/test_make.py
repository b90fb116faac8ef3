"""Atari games: ALE's vector environment and EnvPool's as one kind of environment. Traps 6, 7, 33."""

import sys
from dataclasses import replace

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import proximax
from proximax.cli.dispatch import main
from proximax.config.atari_config import AtariConfig
from proximax.envs import Game, env_from_config, env_seeds, make_env
from proximax.envs.env_groups import DoubleBufferedEnvs
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.errors import DependencyError, EnvError, UsageError
from proximax.evaluation.evaluator import evaluate
from proximax.policy.policy import make_policy
from proximax.ppo.host_learner import make_host_learner
from proximax.runtime.prng import seed_key
from proximax.spaces.frame_stack import take_observations
from proximax.training.resolve_config import resolve
from tests.support.toy_envs import collected

ale_py = pytest.importorskip("ale_py")
envpool = pytest.importorskip("envpool")
SOURCES = ("ALE/", "envpool:")
# The fewest no-ops that either source can be told: none beside fire, which comes before them in ALE, after in EnvPool.
PLAIN = {"noop_max": 0, "height": 20, "width": 20}


def make(game, num_envs=1, groups=1, env_groups=1, **settings):
    return make_env(Game(f"{game}-v5", AtariConfig(**settings)), num_envs, groups=groups, env_groups=env_groups)


def play(env, seeds, actions):
    """The steps of scripted actions, ``[N]`` or a number for all; the first observation by itself. Closes ``env``."""
    obs = np.array(env.reset(seeds))
    steps = [jax.tree.map(np.array, env.step(np.broadcast_to(a, env.num_envs))) for a in actions]
    env.close()
    return obs, steps


def scripted(env, seed, actions):
    """One environment's transitions: rows that are none take no action of the script. Closes ``env``."""
    obs, rows, left = [np.array(env.reset([seed]))[0]], [], list(actions)
    while left:
        s = jax.tree.map(np.array, env.step(np.array(left[:1])))
        if s.valid[0]:
            rows.append(jax.tree.map(lambda x: x[0], s))
            left.pop(0)
        obs.append(s.obs[0])
    env.close()
    return obs, rows


def drawn(n, length, seed=0):
    return np.random.default_rng(seed).integers(0, n, length)


# ---------------------------------------------------------------- one kind of environment


def test_both_sources_give_steps_and_transitions_of_one_form():
    forms = []
    for source in SOURCES:
        env = make(f"{source}Breakout", 2, **PLAIN)
        obs, steps = play(env, [1, 2], drawn(4, 220))
        forms.append([env.observation_space, env.action_space, obs.shape, obs.dtype])
        assert env.observation_space == gymnasium.spaces.Box(0, 255, (4, 20, 20), np.uint8)
        for s in steps:
            assert s.obs.shape == s.final_obs.shape == (2, 4, 20, 20)
            assert s.obs.dtype == s.final_obs.dtype == np.uint8
            for name in ("terminated", "truncated", "first", "episode_over"):
                assert (getattr(s, name).shape, getattr(s, name).dtype) == ((2,), bool)
            for x in (s.reward, s.unclipped_reward, s.valid):
                assert x.shape == (2,)
                np.testing.assert_array_equal(x, x.astype(np.float32))  # nothing is lost in the buffers
        assert any(s.episode_over.any() for s in steps)
    assert forms[0] == forms[1]


GAMES = [
    ("Pong", 6, 400, {}, 0),
    ("Breakout", 4, 640, {"height": 84, "width": 84}, 3),
    ("Breakout", 4, 240, {"grayscale": False, "stack": 3}, 1),
    ("Pong", 18, 150, {"full_action_space": True, "frame_skip": 3, "height": 60}, 0),
    ("Pong", 6, 150, {"frame_skip": 1, "max_of_two": False}, 0),
    ("SpaceInvaders", 6, 300, {"sticky_actions": 0.25, "height": 84, "width": 84}, 1),
]


@pytest.mark.parametrize(("game", "n", "length", "settings", "ends"), GAMES)
def test_ale_and_envpool_play_the_same_games_bit_for_bit(game, n, length, settings, ends):
    """Frames, scores, lost lives and ends. What stands for frames before a game's first one differs: zeros or copies of
    it; and what is shown of a game that is over, in the middle of a step's frames.
    """
    played = [scripted(make(f"{s}{game}", **{**PLAIN, **settings}), 1, drawn(n, length)) for s in SOURCES]
    (_, ale), (_, pool) = played
    depth, age = len(ale[0].obs), 0  # how many frames of the stack are of the game
    assert sum(bool(a.episode_over) for a in ale) == ends
    for t, (a, b) in enumerate(zip(ale, pool, strict=True)):
        for name in ("reward", "unclipped_reward", "terminated", "truncated", "episode_over"):
            assert getattr(a, name) == getattr(b, name), (t, name)
        age = 0 if a.episode_over else age + 1
        if age > 0:
            shown = slice(max(0, depth - age - 1), None)
            np.testing.assert_array_equal(a.final_obs[shown], b.final_obs[shown], err_msg=str(t))
            assert a.first == b.first
    firsts = [obs[0] for obs, _ in played]
    np.testing.assert_array_equal(firsts[0][-1], firsts[1][-1])
    if depth > 1:
        assert not firsts[0][:-1].any()
        np.testing.assert_array_equal(firsts[1][:-1], np.broadcast_to(firsts[1][-1], firsts[1][:-1].shape))


# ---------------------------------------------------------------- ends


@pytest.mark.trap(6)
@pytest.mark.parametrize("source", SOURCES)
def test_a_lost_life_ends_the_learners_episode_and_not_the_game(source):
    played = {}
    for episodic in (True, False):
        env = make(f"{source}Breakout", episodic_life=episodic, **PLAIN)
        played[episodic] = play(env, [1], drawn(4, 245))[1]
    lost = [t for t, s in enumerate(played[True]) if s.terminated[0] and not s.episode_over[0]]
    over = [t for t, s in enumerate(played[True]) if s.episode_over[0]]
    assert lost[:4] == [23, 123, 153, 178]
    assert over == [216]  # with the fifth life
    for t in lost:
        s, following = played[True][t], played[True][t + 1]
        assert s.first[0]
        assert not s.truncated[0]
        assert s.valid[0]
        assert following.valid[0]
        assert not following.first[0]
        np.testing.assert_array_equal(s.obs, s.final_obs)  # the game goes on
        np.testing.assert_array_equal(following.obs[0, :-1], s.obs[0, 1:])
    assert played[True][216].terminated[0]
    # Without it the same game, whose only end is its own.
    for a, b in zip(played[True], played[False], strict=True):
        np.testing.assert_array_equal(a.obs, b.obs)
        assert (a.unclipped_reward, a.episode_over, a.valid) == (b.unclipped_reward, b.episode_over, b.valid)
        np.testing.assert_array_equal(b.terminated, b.episode_over)
    assert [t for t, s in enumerate(played[False]) if s.terminated[0]] == over
    firsts = [t for t, s in enumerate(played[False]) if s.first[0]]
    assert firsts == ([216] if source == "ALE/" else [217])  # same-step and next-step autoreset


@pytest.mark.parametrize("source", SOURCES)
def test_the_frame_cap_truncates_and_never_terminates(source):
    for cap, skip, steps in ((100, 4, 25), (101, 4, 26), (99, 4, 25), (2, 4, 1), (30, 2, 15)):
        env = make(f"{source}Pong", frame_cap=cap, frame_skip=skip, noop_max=30, height=10, width=10)
        _, rows = scripted(env, 3, [0] * (2 * steps))
        assert [t + 1 for t, s in enumerate(rows) if s.truncated] == [steps, 2 * steps]
        assert [t + 1 for t, s in enumerate(rows) if s.episode_over] == [steps, 2 * steps]
        assert not any(s.terminated for s in rows)


def games_by_hand(rom, actions, cap, seed):
    """(raw return, length) of every game that ended, straight from ALE."""
    from ale_py.vector_env import AtariVectorEnv

    settings = {"noop_max": 0, "reward_clipping": False, "max_num_frames_per_episode": cap}
    env = AtariVectorEnv(rom, 1, autoreset_mode=AutoresetMode.SAME_STEP, **settings)
    env.reset(seed=np.array([seed]))
    found, total, length = [], 0, 0
    for a in actions:
        _, reward, terminated, truncated, _ = env.step(np.array([a]))
        total, length = total + int(reward[0]), length + 1
        if terminated[0] or truncated[0]:
            found.append((total, length))
            total = length = 0
    env.close()
    return found


@pytest.mark.trap(33)
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("source", SOURCES)
def test_returns_are_of_raw_rewards_and_whole_games_however_it_is_learned_from(source, clip):
    """Three lives, games cut at 200 steps, points of 5 to 30."""
    by_hand = games_by_hand("space_invaders", np.ones(600, int), 800, 5)
    env = make(f"{source}SpaceInvaders", frame_cap=800, clip_reward=clip, **PLAIN)
    length = 600 + (source != "ALE/") * len(by_hand)  # rows that are only a reset
    [(rollout, episodes, _)] = collected(env, [[5]], np.ones(length, int), stacked=True)
    assert len(by_hand) >= 3
    assert episodes["episodes"][0] == len(by_hand)
    assert episodes["return_sum"][0] == sum(total for total, _ in by_hand)
    assert episodes["length_sum"][0] == sum(n for _, n in by_hand)
    points = set(np.unique(rollout.reward).tolist())
    assert points == ({0, 1} if clip else points | {5, 10})
    assert rollout.terminated.sum() > 0  # lives


@pytest.mark.parametrize("source", SOURCES)
def test_clipped_rewards_are_the_sign_of_the_score(source):
    scores = set()
    for game, action in (("SpaceInvaders", 1), ("Pong", 0)):
        _, steps = play(make(f"{source}{game}", 2, **PLAIN), [1, 2], [action] * 150)
        for s in steps:
            np.testing.assert_array_equal(s.reward, np.sign(s.unclipped_reward))
            scores |= set(s.unclipped_reward.tolist())
        _, raw = play(make(f"{source}{game}", 2, clip_reward=False, **PLAIN), [1, 2], [action] * 150)
        for a, b in zip(steps, raw, strict=True):
            np.testing.assert_array_equal(a.unclipped_reward, b.unclipped_reward)
            np.testing.assert_array_equal(b.reward, b.unclipped_reward)
    assert {-1, 0} < scores
    assert max(scores) > 1


# ---------------------------------------------------------------- what is sent


@pytest.mark.trap(7)
def test_an_environment_keeps_its_autoreset_mode_whatever_is_made_after_it():
    from ale_py.vector_env import AtariVectorEnv

    ours = make("ALE/Breakout", **PLAIN)
    other = AtariVectorEnv("breakout", 1, autoreset_mode=AutoresetMode.NEXT_STEP)
    assert ours.env.env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP  # the trap: of the class
    assert GymnasiumEnv(ours.env.env, masked=False).mode is AutoresetMode.SAME_STEP
    assert GymnasiumEnv(other, masked=False).mode is AutoresetMode.NEXT_STEP
    _, steps = play(ours, [1], drawn(4, 218))
    assert all(s.valid.all() for s in steps)
    assert steps[216].episode_over[0]
    assert not np.array_equal(steps[216].obs, steps[216].final_obs)
    assert not steps[216].obs[0, :-1].any()  # a game's first observation
    other.close()


@pytest.mark.trap(7)
@pytest.mark.parametrize("turns", [1, 2])
@pytest.mark.parametrize("source", SOURCES)
def test_a_bad_action_is_an_error_and_does_not_wait_for_ever(source, turns):
    env = make(f"{source}Breakout", 2, env_groups=turns, **PLAIN)
    env.reset([1, 2])
    for bad in ([0, 4], [-1, 0], [0.5, 0.0], [np.nan, 1.0]):
        with pytest.raises(EnvError, match=r"actions \[.*\]: give \d integers from 0 to 3"):
            env.step(np.array(bad))
    if turns == 1:
        for shape in ((3,), (1,), (2, 1), ()):
            with pytest.raises(EnvError, match="give 2 integers from 0 to 3"):
                env.step(np.zeros(shape, int))
        assert env.step(np.array([1, 3])).obs.shape == (2, 4, 20, 20)  # nothing is left half sent
    env.close()


@pytest.mark.parametrize("source", SOURCES)
def test_actions_are_those_of_the_game_that_the_policy_has(source):
    env = make(f"{source}Pong", actions=(3, 2), **PLAIN)
    assert env.action_space == gymnasium.spaces.Discrete(2)
    some = drawn(2, 40)
    restricted = play(env, [1], some)
    whole = play(make(f"{source}Pong", **PLAIN), [1], 3 - some)
    for a, b in zip(restricted[1], whole[1], strict=True):
        np.testing.assert_array_equal(a.obs, b.obs)
    assert make(f"{source}Pong", full_action_space=True).action_space == gymnasium.spaces.Discrete(18)
    env = make(f"{source}Pong", actions=(0, 17), full_action_space=True, **PLAIN)
    env.reset([1])
    with pytest.raises(EnvError, match="from 0 to 1"):
        env.step(np.array([2]))
    with pytest.raises(UsageError, match=r"atari.actions = \(0, 6\): this game has the actions 0 to 5"):
        make(f"{source}Pong", actions=(0, 6))


@pytest.mark.parametrize("source", SOURCES)
def test_sticky_actions_change_what_an_action_does_and_differ_between_seeds(source):
    frames = {}
    for sticky in (0.0, 0.25):
        _, steps = play(make(f"{source}Pong", 2, sticky_actions=sticky, **PLAIN), [1, 2], drawn(6, 60))
        frames[sticky] = np.stack([s.obs for s in steps])
    assert np.any(frames[0.0] != frames[0.25])
    np.testing.assert_array_equal(frames[0.0][:, 0], frames[0.0][:, 1])  # nothing else is random here
    assert np.any(frames[0.25][:, 0] != frames[0.25][:, 1])


# ---------------------------------------------------------------- seeds and groups


@pytest.mark.slow
@pytest.mark.trap(7)
@pytest.mark.parametrize("source", SOURCES)
def test_a_seed_is_a_game_wherever_it_stands(source):
    def games(seeds, **sizes):
        obs, steps = play(
            make(f"{source}Pong", sticky_actions=0.25, **PLAIN | {"noop_max": 30}, **sizes), seeds, drawn(6, 30)
        )
        return np.stack([obs, *(s.obs for s in steps)], axis=1)

    seeds = env_seeds(0, 4)
    one = games(seeds, num_envs=4)
    np.testing.assert_array_equal(games(seeds, num_envs=4), one)
    np.testing.assert_array_equal(games(seeds[::-1], num_envs=4), one[::-1])
    np.testing.assert_array_equal(games(seeds, num_envs=2, groups=2), one)  # run seeds side by side
    assert len({x.tobytes() for x in one}) == 4


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_turns_and_seeds_side_by_side_give_the_same_transitions(source):
    seeds, actions = np.reshape(env_seeds(1, 4), (2, 2)), drawn(6, (50, 2, 2))
    settings = {**PLAIN, "noop_max": 30, "sticky_actions": 0.25, "frame_cap": 80}
    told = []
    for turns in (1, 2):
        env = make(f"{source}Pong", 2, 2, turns, **settings)
        assert isinstance(env, DoubleBufferedEnvs) == (turns > 1)
        assert env.stacked  # frames are stored once in turns too
        [(rollout, episodes, state)] = collected(env, seeds, actions, stacked=True)
        obs = jax.vmap(lambda obs: take_observations(obs, np.arange(100)), in_axes=1)(rollout.obs)
        told.append((rollout._replace(obs=np.asarray(obs)), episodes, state.obs, state.first))
    jax.tree.map(np.testing.assert_array_equal, told[0], told[1])
    plain = collected(make(f"{source}Pong", 2, 2, **settings), seeds, actions, stacked=False)[0]
    by_seed = np.moveaxis(plain[0].obs, 1, 0).reshape(told[0][0].obs.shape)
    np.testing.assert_array_equal(told[0][0].obs, by_seed)


# ---------------------------------------------------------------- what is refused


def test_an_unknown_game_is_answered_with_near_names():
    with pytest.raises(UsageError, match=r"ALE has no game 'Pongg'\. Did you mean ALE/Pong-v5"):
        make_env("ALE/Pongg-v5")
    with pytest.raises(UsageError, match=r"ALE has no game 'pong'\. Did you mean ALE/Pong-v5"):
        make_env("ALE/pong-v5")
    with pytest.raises(UsageError, match=r"ALE has no game 'Zzzz'\. It has \d+ games"):
        make_env("gymnasium:ALE/Zzzz-v5")
    with pytest.raises(UsageError, match=r"EnvPool has no environment 'Pongg-v5'\. Did you mean .*Pong-v5"):
        make_env("envpool:Pongg-v5")


def test_settings_of_games_are_refused_for_other_environments(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="frame_skip, stack: only for Atari games by their id; gymnasium:CartPole-v1"):
        proximax.train("CartPole-v1", frame_skip=2, stack=1)
    with pytest.raises(UsageError, match="stack: only for Atari games by their id; envpool:HalfCheetah-v4 is not one"):
        proximax.train("envpool:HalfCheetah-v4", stack=2)
    for command in ("train", "bench"):
        assert main([command, "CartPole-v1", "--atari.frame-skip", "2"]) == 2
        assert "--atari.frame-skip: only for Atari games; gymnasium:CartPole-v1 is not one" in capsys.readouterr().err
    # The settings of a preset are no flags of the user's.
    sizes = ["--preset", "pong", "--num-envs", "1", "--ppo.num-steps", "4", "--ppo.minibatch-size", "4", "--steps", "1"]
    assert main(["train", "CartPole-v1", *sizes]) == 2
    err = capsys.readouterr().err
    assert "steps = 1 is less than one rollout" in err
    assert "--atari" not in err


def test_what_envpool_cannot_do_is_refused():
    with pytest.raises(UsageError, match="max_of_two = False: EnvPool always takes the maximum"):
        make("envpool:Pong", max_of_two=False)
    for source in SOURCES:
        with pytest.raises(UsageError, match="with frame_skip = 1 there is one frame a step"):
            make(f"{source}Pong", frame_skip=1)
        with pytest.raises(UsageError, match=r"atari.height = 500: must be .*; atari.stack = 0: must be"):
            make(f"{source}Pong", stack=0, height=500)


def test_a_missing_extra_names_its_pip_line(monkeypatch):
    monkeypatch.delitem(sys.modules, "ale_py.vector_env", raising=False)
    monkeypatch.setitem(sys.modules, "ale_py", None)
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(DependencyError, match=r'ALE/Pong-v5 needs ale_py\S*: pip install "proximax\[atari\]"'):
        make_env("ALE/Pong-v5")
    for game in ("envpool:Pong-v5", Game("envpool:Pong-v5", AtariConfig(stack=2))):  # as a run's config.json has it
        with pytest.raises(DependencyError, match=r'envpool:Pong-v5 needs envpool: pip install "proximax\[envpool\]"'):
            make_env(game)
    with pytest.raises(DependencyError, match=r"proximax\[envpool\]"):
        proximax.train("envpool:Breakout-v5", stack=2, quiet=True)


# ---------------------------------------------------------------- whole runs

QUICK = {
    **{"num_envs": 4, "num_steps": 16, "minibatch_size": 32, "epochs": 1, "steps": 256, "quiet": True},
    **{"network": "mlp", "hidden": (4,), "height": 10, "width": 10, "frame_cap": 160, "eval_episodes": 3},
}


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_a_run_of_a_game_is_trained_and_evaluated_in_whole_games(source, tmp_path):
    """Also by its directory; and evaluation draws actions, since the preset of all games says so."""
    env = f"{source}Qbert-v5"
    result = proximax.train(env, out=tmp_path / "run", seeds=2, normalise_pixels=True, **QUICK)
    again = evaluate(tmp_path / "run", 3)
    assert result.config.preset == "atari"
    assert result.config.eval_stochastic
    assert result.config.atari == AtariConfig(height=10, width=10, frame_cap=160)
    np.testing.assert_array_equal(result.evaluation.lengths, np.full((2, 3), 40))  # lives end none
    assert result.history[-1]["first_ratio_error"] < 1e-6
    assert {row["episode_length"] for row in result.history} == {None, 40}
    np.testing.assert_array_equal(again.lengths, np.full((2, 3), 40))
    # The environment by itself has other settings than the run's.
    with pytest.raises(proximax.errors.CheckpointError, match="the policy's observation space is"):
        evaluate(tmp_path / "run", 2, env=env)
    game = Game(env, result.config.atari)
    assert resolve(game, None, {})[0].atari == game.config
    assert resolve(game, None, {"stack": 2})[0].atari == replace(game.config, stack=2)


@pytest.mark.slow
def test_a_run_by_either_source_is_the_same_where_no_game_ends():
    """The same frames, so the same weights; with a stack of one, nothing stands for frames before the first."""
    settings = {**QUICK, "noop_max": 0, "stack": 1, "frame_cap": 108_000, "eval_episodes": 1, "seed": 3}
    states = []
    for source in SOURCES:
        config, _ = resolve(f"{source}Pong-v5", "none", {k: v for k, v in settings.items() if k != "quiet"})
        env = make_env(env_from_config(config), config.num_envs)
        policy = make_policy(env.observation_space, env.action_space, config.ppo, config.network)
        learner = make_host_learner(env, policy, config)
        state = learner.init([seed_key(3)])
        for _ in range(2):
            state, _ = learner.step(state)
        env.close()
        states.append(state.params)
    jax.tree.map(np.testing.assert_array_equal, *states)
