"""The page's environments against Gymnasium's, and its reader of weights against the agent, by Node.js."""

import json
import re

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import proximax
from proximax.exporting import weights_json, zoo_names
from proximax.web.policies import CANVASES
from tests.support import ROOT
from tests.support.exported_agents import BOX, agent
from tests.support.node import node, run_module

pytestmark = [pytest.mark.process, pytest.mark.skipif(node() is None, reason="there is no Node.js: apt install nodejs")]
STEPS = 500
# One step from Gymnasium's own state, and the whole episode from its start. Node's sine and NumPy's may differ in the
# last bit; an acrobot that swings doubles such a difference every second, so that only its steps can be held to this.
STEP, EPISODE = 1e-12, 1e-9
CHAOTIC = ("Acrobot-v1",)
SIZES = {"CartPole-v1": 4, "Pendulum-v1": 3, "MountainCarContinuous-v0": 2, "Acrobot-v1": 6}  # of observations
FOLLOW = """
import { ENVIRONMENTS } from "./page/play/environments.js";

function follow(env, { start, actions, states }) {
  const steps = [], path = [];
  let state = start;
  actions.forEach((action, i) => {
    const one = env.step(i ? states[i - 1] : start, action), next = env.step(state, action);
    state = next.state;
    steps.push([...one.state, one.reward, Number(one.done), ...env.observe(one.state).map(Math.fround)]);
    path.push(state);
  });
  return { steps, path };
}

const answer = {}, facts = {};
for (const [id, episodes] of Object.entries(asked)) {
  const env = ENVIRONMENTS[id], controls = [-1, 0, 1].map((held) => env.control(held, 0));
  answer[id] = episodes.map((episode) => follow(env, episode));
  facts[id] = { limit: env.limit, start: env.start(() => 0.75), controls };
}
console.log(JSON.stringify({ answer, facts }));
"""
ACT = """
import { readWeights } from "./page/play/weights.js";

const answer = asked.map(({ weights, observations }) => {
  const policy = readWeights(weights);
  return observations.map((obs) => policy.act(obs));
});
console.log(JSON.stringify(answer));
"""


def choose(env, rng, state):
    """An action: mostly one that gains speed, so that episodes reach their goals and bounds, or any."""
    push = np.sign(state[-1]) or 1.0
    if isinstance(env.action_space, spaces.Discrete):
        most = env.action_space.n - 1
        return int(most * (push > 0)) if rng.random() < 0.7 and most > 1 else int(rng.integers(most + 1))
    return np.array([push * 1.5 if rng.random() < 0.7 else rng.uniform(-3, 3)], np.float32)


def episodes(env_id):
    """Episodes of Gymnasium's environment, ``STEPS`` steps together: start, actions, and what each step gave."""
    env, rng, played, left = gymnasium.make(env_id), np.random.default_rng(0), [], STEPS
    while left > 0:
        env.reset(seed=len(played))
        inner = env.unwrapped
        inner.state = np.asarray(inner.state, np.float32)  # as its observation has it, and as the page starts
        if env_id != "MountainCarContinuous-v0":
            inner.state = inner.state.astype(np.float64)
        episode, over = (
            {"start": np.asarray(inner.state, float).tolist(), "actions": [], "states": [], "rows": []},
            False,
        )
        while not over and left > 0:
            action = choose(env, rng, inner.state)
            obs, reward, terminated, truncated, _ = env.step(action)
            state = np.asarray(inner.state, float).tolist()
            episode["actions"].append(float(np.ravel(action)[0]))
            episode["states"].append(state)
            episode["rows"].append([*state, float(reward), float(terminated), *obs.astype(float).tolist()])
            over, left = terminated or truncated, left - 1
        played.append(episode)
    return played, env.spec.max_episode_steps


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """(episodes of Gymnasium by environment, its limits, the page's answer)."""
    played = {env_id: episodes(env_id) for env_id in CANVASES}
    asked = {env_id: rows for env_id, (rows, _) in played.items()}
    answer = run_module(tmp_path_factory.mktemp("node"), FOLLOW, asked)
    return asked, {env_id: limit for env_id, (_, limit) in played.items()}, answer


@pytest.mark.parametrize("env_id", CANVASES)
def test_every_step_is_gymnasiums(env_id, followed):
    asked, limits, answer = followed
    expected = np.concatenate([episode["rows"] for episode in asked[env_id]])
    steps = np.concatenate([episode["steps"] for episode in answer["answer"][env_id]])
    assert steps.shape == expected.shape == (STEPS, expected.shape[1])
    state = len(asked[env_id][0]["start"])
    np.testing.assert_allclose(steps[:, :state], expected[:, :state], rtol=STEP, atol=STEP)
    # The square of a pendulum's torque, at most 4, times 0.001 in float32: NumPy's power may miss the last bit.
    np.testing.assert_allclose(
        steps[:, state], expected[:, state], rtol=STEP, atol=5e-10 if "Pendulum" in env_id else STEP
    )
    np.testing.assert_array_equal(steps[:, state + 1], expected[:, state + 1])  # where it terminated
    np.testing.assert_allclose(steps[:, state + 2 :], expected[:, state + 2 :], rtol=2e-7, atol=1e-9)  # float32
    assert answer["facts"][env_id]["limit"] == limits[env_id]  # where it is truncated


@pytest.mark.parametrize("env_id", [env_id for env_id in CANVASES if env_id not in CHAOTIC])
def test_whole_episodes_are_gymnasiums(env_id, followed):
    asked, _, answer = followed
    for episode, got in zip(asked[env_id], answer["answer"][env_id]):
        np.testing.assert_allclose(got["path"], episode["states"], rtol=EPISODE, atol=EPISODE)


@pytest.mark.parametrize("env_id", CANVASES)
def test_starts_and_keys_give_states_and_actions_of_the_environment(env_id, followed):
    _, _, answer = followed
    env, facts = gymnasium.make(env_id), answer["facts"][env_id]
    for control in facts["controls"]:
        action = control if isinstance(env.action_space, spaces.Discrete) else np.array([control], np.float32)
        assert env.action_space.contains(action)
    env.reset(seed=0)
    assert len(facts["start"]) == len(env.unwrapped.state)
    assert facts["controls"][0] != facts["controls"][2]


POLICIES = {
    "mlp": {},
    "relu": {"activation": "relu", "actions": spaces.Discrete(4, start=2)},
    "elu": {"activation": "elu", "actions": spaces.MultiDiscrete([2, 3])},
    "silu": {"activation": "silu", "actions": spaces.Box(-2, 1, (2,))},
    "free": {"actions": spaces.Box(-np.inf, np.inf, (2,))},
    "squashed": {"actions": spaces.Box(-2, 1, (2,)), "box_distribution": "squashed_gaussian"},
    "beta": {"actions": spaces.Box(-2, 1, (2,)), "box_distribution": "beta"},
    "normalised": {"normalise_obs": True},
    "gru": {"network": "gru", "actions": spaces.Box(-2, 1, (2,))},
    "lstm": {"network": "lstm", "actions": spaces.Box(-2, 1, (2,)), "recurrent_layers": 2},
    "mingru": {"network": "mingru", "actions": spaces.Box(-2, 1, (2,))},
}


def test_the_reader_of_weights_acts_as_the_agent(tmp_path):
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    agents = [agent(**{"obs": BOX, **settings}) for settings in POLICIES.values()]
    asked = [{"weights": weights_json(x), "observations": rows.tolist()} for x in agents]
    for name, expected, actions in zip(POLICIES, agents, run_module(tmp_path, ACT, asked)):
        for obs, action in zip(rows, actions):
            np.testing.assert_allclose(action, np.ravel(expected.act(obs)), rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_weights_in_the_documentation_act_as_the_zoos_policies(tmp_path):
    text = (ROOT / "docs" / "play" / "index.html").read_text()
    policies = json.loads(re.search(r'<script type="application/json">(.*?)</script>', text)[1])
    rows = {
        name: np.array([x["rows"][i][-size:] for x in episodes(name)[0] for i in range(len(x["rows"]))][:200])
        for name, size in SIZES.items()
    }
    asked = [{"weights": x["weights"], "observations": rows[x["env"]].tolist()} for x in policies]
    assert sorted(x["env"] for x in policies) == [name for name in zoo_names() if name in CANVASES]
    for policy, actions in zip(policies, run_module(tmp_path, ACT, asked)):
        obs = rows[policy["env"]].astype(np.float32)
        expected = np.asarray(proximax.load(f"zoo:{policy['env']}").act(obs)).reshape(len(obs), -1)
        np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-5)
