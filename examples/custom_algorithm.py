"""Train with a custom objective, here that of Simple Policy Optimization (arXiv 2401.16025), beside PPO-Clip.

An objective is elementwise and is maximised. ``ObjectiveInputs`` has log π(a|s), log r, the advantage and the exact
KL of each sample; proximax does the rest: means, masks, entropy bonus, value loss, epochs, seeds, environments.
"""

import jax
import jax.numpy as jnp

import proximax


def spo(inputs: proximax.ObjectiveInputs, scheduled: proximax.ScheduledValues) -> jax.Array:
    """``r A - |A| (r - 1)² / 2 ε``: a parabola in r with its maximum at 1 ± ε, where clipping would become flat."""
    ratio = jnp.exp(inputs.log_ratio)
    penalty = jnp.abs(inputs.advantage) * jnp.square(ratio - 1.0) / (2.0 * scheduled.epsilon)
    return ratio * inputs.advantage - penalty


def main(steps: int = 100_000, seeds: int = 4) -> None:
    for algo in (proximax.Algorithm("spo", spo), "clip"):
        result = proximax.train("CartPole-v1", algo=algo, steps=steps, seeds=seeds, quiet=True)
        print(f"{result.config.algo:>8}: interquartile mean return {result.summary.iqm:.1f}")


if __name__ == "__main__":
    main()
