"""Below ``train``: the learner is a pair of pure functions, so the loop, the placement and the logging can be yours."""

import jax

from proximax import PPOConfig, RunConfig, make_env, make_learner, make_policy
from proximax.ppo import stack_seeds
from proximax.runtime import seed_key


def main(updates: int = 60, seeds: int = 4) -> None:
    env = make_env("probe:matching")  # pays 1 for the action that agrees with the observation, else -1
    ppo = PPOConfig(num_steps=32, minibatch_size=64, epochs=4, learning_rate=3e-3)
    config = RunConfig("probe:matching", steps=updates * 32 * 8, num_envs=8, ppo=ppo)
    policy = make_policy(env.observation_space, env.action_space, ppo)
    learner = make_learner(env, policy, config)

    state = stack_seeds([learner.init(seed_key(seed)) for seed in range(seeds)])
    step = jax.jit(jax.vmap(learner.step))
    for _ in range(updates):
        state, metrics = step(state)
    print("mean return of each seed:", (metrics["return_sum"] / metrics["episodes"]).round(3))


if __name__ == "__main__":
    main()
