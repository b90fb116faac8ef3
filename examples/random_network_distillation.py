"""Curiosity: random network distillation (arXiv 1810.12894) where rewards alone lead nowhere.

In DeepSea each step to the right costs a little, and only ten of them in a row find the treasure: a policy that learns
from rewards learns to go left. The hook pays for being surprised: the error of a network that learns to predict a fixed
random one, large where the policy has seldom been. The returns that are reported stay the environment's own.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

import proximax

OPTIMISER = optax.adam(1e-3)
WEIGHT = 1.0  # of the curiosity, in units of its own running standard deviation


class State(NamedTuple):
    """What the hook remembers from one update to the next."""

    target: Any  # the fixed random network
    predictor: Any
    opt_state: Any
    seen: Any  # moments of the observations
    surprise: Any  # moments of the prediction errors


def network(key: jax.Array, inputs: int) -> list[jax.Array]:
    """Weights of an MLP with 64 features."""
    sizes = (inputs, 64, 64)
    keys = jax.random.split(key, 2)
    return [jax.random.normal(k, (a, b)) / jnp.sqrt(a) for k, a, b in zip(keys, sizes, sizes[1:])]


def features(weights: list[jax.Array], x: jax.Array) -> jax.Array:
    """``[B, inputs]`` -> ``[B, 64]``."""
    return jax.nn.relu(x @ weights[0]) @ weights[1]


def init(key: jax.Array, observation_space: Any, action_space: Any) -> State:
    """The state before the first update."""
    inputs = math.prod(observation_space.shape)
    key_target, key_predictor = jax.random.split(key)
    predictor = network(key_predictor, inputs)
    moments = proximax.maths.init_moments
    return State(network(key_target, inputs), predictor, OPTIMISER.init(predictor), moments((inputs,)), moments(()))


def apply(state: State, rollout: proximax.Transition) -> tuple[jax.Array, State, dict[str, jax.Array]]:
    """Reward + curiosity ``[T, N]``; the predictor learns from the states that were reached."""
    obs = rollout.final_obs.reshape((*rollout.reward.shape, -1))
    seen = proximax.maths.update_moments(state.seen, obs, rollout.valid)
    x = jnp.clip(proximax.maths.normalise(seen, obs), -5, 5).reshape((-1, obs.shape[-1]))
    weight = rollout.valid.reshape(-1)

    def errors(predictor: list[jax.Array]) -> jax.Array:
        return jnp.mean(jnp.square(features(predictor, x) - features(state.target, x)), axis=-1)

    def learn(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        predictor, opt_state = carry
        gradient = jax.grad(lambda p: jnp.sum(weight * errors(p)) / jnp.sum(weight))(predictor)
        step, opt_state = OPTIMISER.update(gradient, opt_state)
        return (optax.apply_updates(predictor, step), opt_state), None

    error = errors(state.predictor).reshape(rollout.reward.shape)
    surprise = proximax.maths.update_moments(state.surprise, error, rollout.valid)
    curiosity = WEIGHT * error / jnp.sqrt(proximax.maths.variance(surprise) + 1e-8)
    (predictor, opt_state), _ = jax.lax.scan(learn, (state.predictor, state.opt_state), length=8)
    metrics = {"curiosity": jnp.sum(curiosity * rollout.valid) / jnp.sum(rollout.valid)}
    return rollout.reward + curiosity, State(state.target, predictor, opt_state, seen, surprise), metrics


RND = proximax.RewardHook("rnd", init, apply)


def main(steps: int = 100_000, seeds: int = 4) -> None:
    settings = {"env_kwargs": {"size": 10}, "num_envs": 16, "num_steps": 64, "minibatch_size": 256}
    for hook in (None, RND):
        result = proximax.train(
            "gymnax:DeepSea-bsuite", steps=steps, seeds=seeds, reward_hook=hook, quiet=True, **settings
        )
        returns = ", ".join(f"{x + 0.0:.2f}" for x in result.evaluation.returns.mean(axis=1).round(2))
        print(f"mean return of each seed {'with' if hook else 'without'} curiosity: {returns}")


if __name__ == "__main__":
    main()
