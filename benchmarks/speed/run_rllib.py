"""RLlib's PPO: ``run_rllib.py SETTINGS``, in the peer's Python. Its new API stack, with env runners as processes.

``kill_at``: seconds after the first update at which one env runner is killed, once.
"""

import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

import ray
from driver import CHECK_EPISODES, FINAL_EPISODES, GOAL_CHECKS, finish, pace, pause, settings
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig


def configuration(s: dict[str, Any]) -> PPOConfig:
    """The settings that every contestant has, in RLlib's words."""
    batch = s["num_envs"] * s["num_steps"]
    per_runner = s["num_envs"] // s["workers"]
    evaluation = {"num_env_runners": 0, "num_envs_per_env_runner": CHECK_EPISODES, "explore": False}
    return (
        PPOConfig()
        .environment(s["env"])
        .env_runners(
            num_env_runners=s["workers"],
            num_envs_per_env_runner=per_runner,
            rollout_fragment_length=s["num_steps"],
            num_cpus_per_env_runner=0.5,
        )
        .learners(num_learners=0)
        .fault_tolerance(restart_failed_env_runners=True)
        .training(
            lr=s["learning_rate"],
            gamma=s["gamma"],
            lambda_=s["lam"],
            clip_param=s["epsilon"],
            vf_clip_param=float("inf"),
            vf_loss_coeff=0.5,
            entropy_coeff=s["entropy_coef"],
            use_kl_loss=False,
            grad_clip=0.5,
            train_batch_size_per_learner=batch,
            minibatch_size=s["minibatch_size"],
            num_epochs=s["epochs"],
        )
        .rl_module(
            model_config=DefaultModelConfig(fcnet_hiddens=s["hidden"], fcnet_activation="tanh", vf_share_layers=False)
        )
        # An interval, never reached, since without one there are no environments to evaluate in.
        .evaluation(evaluation_interval=10**9, evaluation_duration=CHECK_EPISODES, evaluation_config=evaluation)
        .debugging(seed=s["seed"], log_level="ERROR")
    )


def evaluate(algorithm: Any, episodes: int) -> float:
    """Mean return of the most likely actions, over ``episodes`` in calls of ``CHECK_EPISODES``, as configured."""
    calls = episodes // CHECK_EPISODES
    means = [algorithm.evaluate()["env_runners"]["episode_return_mean"] for _ in range(calls)]
    return float(sum(means)) / calls


def kill_one_runner() -> None:
    """``kill -9`` one of the processes that step the environments."""
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if line.startswith(b"ray::") and b"EnvRunner" in line:
            os.kill(int(folder.name), signal.SIGKILL)
            return
    raise RuntimeError("there is no env runner to kill")


def main() -> None:
    s = settings()
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    algorithm = configuration(s).build_algo()
    batch = s["num_envs"] * s["num_steps"]
    updates = s["steps"] // batch
    every = max(1, updates // GOAL_CHECKS)
    goal, solved, score = s.get("goal"), False, float("nan")
    marks, sampled, kill_at = [time.perf_counter()], 0, s.get("kill_at")
    for update in range(1, updates + 1):
        result = algorithm.train()
        sampled = int(result["num_env_steps_sampled_lifetime"])
        marks.append(time.perf_counter())
        if kill_at is not None and marks[-1] - marks[1] > kill_at:
            kill_one_runner()
            kill_at = None
        if goal is not None and update % every == 0:
            score = evaluate(algorithm, CHECK_EPISODES)
            if score >= goal:
                score = evaluate(algorithm, FINAL_EPISODES)
                solved = score >= goal
                if solved:
                    break
    finished = time.time()
    if goal is not None:
        values: dict[str, Any] = {"steps": sampled, "solved": solved, "return": score}
    else:
        values = pace(marks, batch) | {"steps_sampled": sampled}
        values |= {"pause_s": pause(marks)} if "kill_at" in s else {}
    algorithm.stop()
    ray.shutdown()
    finish(values | {"finished_at": finished}, "ray", "torch", "gymnasium", "numpy")


if __name__ == "__main__":
    main()
