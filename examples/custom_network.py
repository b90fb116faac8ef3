"""Train a custom network: a pair of pure functions (Flax and Equinox modules enter through proximax.networks)."""

import jax
import jax.numpy as jnp

import proximax


def init(key: jax.Array, obs: jax.Array) -> dict[str, jax.Array]:
    first, heads = jax.random.split(key)
    return {
        "first": 0.5 * jax.random.normal(first, (obs.shape[-1], 64)),
        "heads": 0.05 * jax.random.normal(heads, (64, 3)),
    }


def apply(params: dict[str, jax.Array], obs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Observations [B, 4] -> logits [B, 2] and values [B]."""
    out = jnp.tanh(obs @ params["first"]) @ params["heads"]
    return out[:, :2], out[:, 2]


def main(steps: int = 100_000, stop_at_return: float | None = 475) -> None:
    network = proximax.Network(init, apply)
    result = proximax.train("CartPole-v1", network=network, steps=steps, stop_at_return=stop_at_return)
    print(f"mean return {result.summary.mean:.1f} after {result.steps:,} steps")


if __name__ == "__main__":
    main()
