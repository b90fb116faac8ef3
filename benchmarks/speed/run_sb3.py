"""Stable-Baselines3's PPO, or another with its interface: ``run_sb3.py SETTINGS``, in the peer's Python."""

import statistics
import time
from typing import Any

import gymnasium
from driver import CHECK_EPISODES, FINAL_EPISODES, GOAL_CHECKS, finish, pace, settings
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

VECTORS = {"dummy": DummyVecEnv, "subproc": SubprocVecEnv}


class Watch(BaseCallback):
    """Marks the time at every start of a rollout; with a goal, evaluates and stops training once it is reached."""

    def __init__(self, s: dict[str, Any]) -> None:
        super().__init__()
        self.marks: list[float] = []
        self.score = float("nan")  # of the latest evaluation
        self.solved = False
        self._goal = s.get("goal")
        updates = s["steps"] // (s["num_envs"] * s["num_steps"])
        self._every = max(1, updates // GOAL_CHECKS) * s["num_steps"]
        if self._goal is not None:
            self._env = make_vec_env(s["env"], CHECK_EPISODES, seed=1_000_003 + s["seed"])

    def _on_rollout_start(self) -> None:
        self.marks.append(time.perf_counter())

    def _on_step(self) -> bool:
        if self._goal is not None and self.n_calls % self._every == 0:
            self.check()
        return not self.solved

    def check(self) -> None:
        """A few episodes; if they reach the goal, many."""
        self.score = self.evaluate(CHECK_EPISODES)
        if self.score >= self._goal:
            self.score = self.evaluate(FINAL_EPISODES)
            self.solved = self.score >= self._goal

    def evaluate(self, episodes: int) -> float:
        """Mean return of deterministic actions."""
        mean, _ = evaluate_policy(self.model, self._env, n_eval_episodes=episodes, deterministic=True, warn=False)
        return float(mean)


def rate(s: dict[str, Any], name: str) -> Any:
    """A constant, or a schedule that falls linearly to 0."""
    return (lambda remaining: remaining * s[name]) if s["anneal"] in (name, "both") else s[name]


def vector(s: dict[str, Any]) -> Any:
    """The kind of vector environment."""
    return VECTORS[s.get("vector", "dummy")]


def atari(s: dict[str, Any]) -> Any:
    """An Atari game as Stable-Baselines3's own presets have it: 84 x 84, four frames, no sticky actions."""
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import VecFrameStack

    game = f"ale_py:{s['env']}"  # imports ale_py, which registers its games, also in another process
    raw = {"frameskip": 1, "repeat_action_probability": 0.0}  # the wrapper repeats and takes the maximum
    made = make_atari_env(game, s["num_envs"], seed=s["seed"], vec_env_cls=vector(s), env_kwargs=raw)
    return VecFrameStack(made, 4)


def hide_velocities(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """CartPole without its two velocities."""
    space = env.observation_space
    assert isinstance(space, gymnasium.spaces.Box)
    shown = gymnasium.spaces.Box(space.low[[0, 2]], space.high[[0, 2]])
    return gymnasium.wrappers.TransformObservation(env, lambda obs: obs[[0, 2]], shown)


def run(algorithm: Any, *packages: str) -> None:
    """Train as SETTINGS say and report."""
    s = settings()
    if s.get("threads"):
        import torch

        torch.set_num_threads(s["threads"])
    pixels = s["env"].startswith("ALE/")
    wrapper = hide_velocities if s.get("hide_velocities") else None
    env = (
        atari(s)
        if pixels
        else make_vec_env(s["env"], s["num_envs"], seed=s["seed"], vec_env_cls=vector(s), wrapper_class=wrapper)
    )
    units = s.get("lstm")  # of sb3-contrib's RecurrentPPO
    memory = {"lstm_hidden_size": units} if units else {}
    model = algorithm(
        "CnnPolicy" if pixels else "MlpLstmPolicy" if units else "MlpPolicy",
        env,
        learning_rate=rate(s, "learning_rate"),
        n_steps=s["num_steps"],
        batch_size=s["minibatch_size"],
        n_epochs=s["epochs"],
        gamma=s["gamma"],
        gae_lambda=s["lam"],
        clip_range=rate(s, "epsilon"),
        ent_coef=s["entropy_coef"],
        policy_kwargs={} if pixels else {"net_arch": s["hidden"], **memory},
        seed=s["seed"],
        device="cpu",
    )
    watch = Watch(s)
    model.learn(s["steps"], callback=watch)
    if s.get("goal") is not None and not watch.solved:
        watch.check()
    finished = time.time()
    if s.get("goal") is not None:
        values = {"steps": model.num_timesteps, "solved": watch.solved, "return": watch.score}
    else:
        returns = [episode["r"] for episode in model.ep_info_buffer]
        values = pace([*watch.marks, time.perf_counter()], s["num_envs"] * s["num_steps"])
        values |= {"training_return": statistics.fmean(returns) if returns else None}
    env.close()
    finish(values | {"finished_at": finished}, *packages, "gymnasium", "mujoco", "numpy")


if __name__ == "__main__":
    from stable_baselines3 import PPO

    gymnasium.logger.min_level = gymnasium.logger.ERROR
    run(PPO, "stable-baselines3", "torch")
