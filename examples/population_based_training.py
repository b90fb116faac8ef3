"""Population-based training (Jaderberg et al. 2017, arXiv 1711.09846): settings that change while they train.

After each interval the worst quarter of the population takes over what the best quarter has learned (exploit), and its
learning rate and entropy coefficient times 0.8 or 1.25 (explore). All members train in one compiled program: their
settings are part of its state.
"""

import jax
import numpy as np

from proximax import PPOConfig, RunConfig, make_env, make_learner, make_policy
from proximax.ppo import stack_seeds
from proximax.runtime import seed_key


def main(updates: int = 200, population: int = 8, intervals: int = 20) -> None:
    env = make_env("gymnax:CartPole-v1")
    ppo = PPOConfig(num_steps=64, minibatch_size=128, epochs=4, entropy_coef=0.01, anneal=(), scale_reward=False)
    config = RunConfig("gymnax:CartPole-v1", steps=updates * 64 * 8, num_envs=8, ppo=ppo)
    learner = make_learner(env, make_policy(env.observation_space, env.action_space, ppo), config)

    rng = np.random.default_rng(0)
    state = stack_seeds([learner.init(seed_key(seed)) for seed in range(population)])
    state = state._replace(learning_rate=(10 ** rng.uniform(-4.5, -2, population)).astype(np.float32))
    step = jax.jit(jax.vmap(learner.step))
    for interval in range(intervals):
        episodes, total = np.zeros(population), np.zeros(population)
        for _ in range(updates // intervals):
            state, metrics = step(state)
            episodes, total = episodes + metrics["episodes"], total + metrics["return_sum"]
        score = total / np.maximum(episodes, 1)
        print(f"{interval + 1:3}: mean return {score.mean():.1f}, best {score.max():.1f}")
        state = exploit_and_explore(state, score, rng)
    print("learning rates:", np.sort(state.learning_rate))


def exploit_and_explore(state, score, rng):
    """The population after an interval: the worst quarter are copies of the best, with other settings."""
    members, order, quarter = np.arange(len(score)), np.argsort(score), max(1, len(score) // 4)
    source = members.copy()
    source[order[:quarter]] = order[-quarter:]
    copied = jax.tree.map(lambda x: x[source], state)

    def explore(setting):
        return setting * np.where(source == members, 1.0, rng.choice([0.8, 1.25], len(score))).astype(np.float32)

    settings = copied.hyperparameters
    settings = settings | {"entropy_coef": explore(settings["entropy_coef"])}
    # Its own key, or a copy would draw what its original draws.
    return copied._replace(key=state.key, learning_rate=explore(copied.learning_rate), hyperparameters=settings)


if __name__ == "__main__":
    main()
