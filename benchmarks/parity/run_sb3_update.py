"""Stable-Baselines3's ``PPO.train()`` on one rollout in float64: ``run_sb3_update.py ORDERS.npz OUT.npz``.

ORDERS.npz has for every case the samples' order in each epoch (``t N + n``), which replaces the random one.
"""

import sys
from typing import Any
from unittest.mock import patch

import gymnasium
import numpy as np
import stable_baselines3
import torch
from gymnasium.wrappers import TimeLimit
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

# Short episodes, so that some end by time; a few units, so that the file is small.
CASES = {"discrete": ("CartPole-v1", 12), "continuous": ("MountainCarContinuous-v0", 15)}
STEPS, ENVS, MINIBATCH_SIZE, EPOCHS, HIDDEN = 32, 4, 32, 2, (16, 16)
torch.set_default_dtype(torch.float64)
torch.Tensor.float = torch.Tensor.double  # what preprocess_obs calls


def model_of(case: str) -> PPO:
    """A PPO whose parameters are away from the near-zero heads of a fresh one."""
    env_id, limit = CASES[case]
    env = DummyVecEnv([lambda: TimeLimit(gymnasium.make(env_id).unwrapped, limit)] * ENVS)
    model = PPO(
        "MlpPolicy",
        env,
        learning_rate=1e-3,
        n_steps=STEPS,
        batch_size=MINIBATCH_SIZE,
        n_epochs=EPOCHS,
        clip_range=0.1,
        clip_range_vf=0.05,
        ent_coef=0.01,
        policy_kwargs={"net_arch": list(HIDDEN)},
        seed=0,
    )
    model.set_logger(Logger(None, []))
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter += torch.as_tensor(0.2 * rng.standard_normal(parameter.shape))
    return model


def collect(model: PPO) -> dict[str, np.ndarray]:
    """A rollout by the policy; ``final_obs`` is what a step reached, before any reset."""
    env, rows = model.get_env(), []
    obs, first = env.reset(), np.ones(ENVS)
    for _ in range(STEPS):
        with torch.no_grad():
            action = model.policy(torch.as_tensor(np.float64(obs)))[0].numpy()
        low, high = getattr(env.action_space, "low", None), getattr(env.action_space, "high", None)
        reached, reward, done, infos = env.step(action if low is None else np.clip(action, low, high))
        final = np.stack([info.get("terminal_observation", x) for info, x in zip(infos, reached)])
        truncated = np.array([info.get("TimeLimit.truncated", False) for info in infos]) & done
        rows.append((obs, final, first, action, reward, done & ~truncated, truncated))
        obs, first = reached, done.astype(float)
    names = ("obs", "final_obs", "first", "action", "reward", "terminated", "truncated")
    return {name: np.stack(column) for name, column in zip(names, zip(*rows))}


def fill_buffer(model: PPO, rollout: dict[str, np.ndarray]) -> Any:
    """The rollout in float64 where ``collect_rollouts`` keeps it, with V(final observation) added at time limits."""
    buffer, policy = model.rollout_buffer, model.policy
    obs, final = torch.as_tensor(np.float64(rollout["obs"])), torch.as_tensor(np.float64(rollout["final_obs"]))
    # The buffer hands out actions in float32.
    actions = torch.as_tensor(np.float64(np.float32(rollout["action"]))).reshape(STEPS * ENVS, -1)
    with torch.no_grad():
        flat = actions.flatten().long() if model.action_space.shape == () else actions
        values, log_probs, _ = policy.evaluate_actions(obs.flatten(0, 1), flat)
        final_values = policy.predict_values(final.flatten(0, 1)).numpy().reshape(STEPS, ENVS)
    buffer.reset()
    buffer.observations, buffer.actions = obs.numpy(), actions.numpy().reshape(STEPS, ENVS, -1)
    buffer.values, buffer.log_probs = (x.numpy().reshape(STEPS, ENVS) for x in (values, log_probs))
    buffer.rewards = rollout["reward"] + model.gamma * final_values * rollout["truncated"]
    buffer.episode_starts = np.float64(rollout["first"])
    buffer.advantages, buffer.returns = np.zeros((2, STEPS, ENVS))
    buffer.full, buffer.pos = True, STEPS
    done = (rollout["terminated"] | rollout["truncated"])[-1]
    buffer.compute_returns_and_advantage(torch.as_tensor(final_values[-1]), done)
    return buffer


def parameters_of(model: PPO) -> dict[str, np.ndarray]:
    """Copies of the parameters by name."""
    return {name: x.detach().numpy().copy() for name, x in model.policy.named_parameters()}


def main() -> None:
    orders, out = np.load(sys.argv[1]), {}
    for case in CASES:
        model = model_of(case)
        rollout = collect(model)
        before = parameters_of(model)
        buffer = fill_buffer(model, rollout)
        advantages = buffer.advantages.copy()
        t, n = np.divmod(orders[case], ENVS)
        epochs = list(n * STEPS + t)  # the buffer's rows are environment by environment
        with patch("numpy.random.permutation", side_effect=epochs):
            model.train()
        columns = rollout | {"advantage": advantages, "order": orders[case]}
        out |= {f"{case}/{name}": x for name, x in columns.items()}
        for stage, parameters in (("before", before), ("after", parameters_of(model))):
            out |= {f"{case}/{stage}/{name}": x for name, x in parameters.items()}
    np.savez_compressed(sys.argv[2], version=stable_baselines3.__version__, **out)


if __name__ == "__main__":
    main()
