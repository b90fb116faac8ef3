"""Action distributions: records of parameters with exact log_prob, entropy, kl, mode and sample.

Leading axes are the batch; each method returns one number (or one action) per batch row.
"""

import math
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

LOG_2PI = math.log(2.0 * math.pi)


class Distribution(Protocol):
    """What the update and the rollout need from a distribution over actions."""

    def sample(self, key: Array) -> Array: ...  # noqa: D102

    def log_prob(self, action: Array) -> Array: ...  # noqa: D102

    def entropy(self) -> Array: ...  # noqa: D102

    def kl(self, other: Any) -> Array: ...  # noqa: D102

    def mode(self) -> Array: ...  # noqa: D102


class Categorical(NamedTuple):
    """One of ``n`` choices; ``logits`` ``[..., n]`` need not be normalised. A logit of -inf means probability 0."""

    logits: Float[Array, "*B n"]

    def sample(self, key: Array) -> Int[Array, "*B"]:
        """Draw one action per row (Gumbel maximum)."""
        return jax.random.categorical(key, self.logits)

    def log_prob(self, action: Int[Array, "*B"]) -> Float[Array, "*B"]:
        """Log p(action)."""
        chosen = jax.nn.one_hot(action, self.logits.shape[-1], dtype=bool)
        log_p = jax.nn.log_softmax(self.logits)
        # ``select`` and not a product: 0 times the -inf of a forbidden action would be NaN. And not ``where``: it would
        # broadcast an action ``[B, 1]`` to ``[B, B]``.
        return jnp.sum(jax.lax.select(chosen, log_p, jnp.zeros_like(log_p)), axis=-1)

    def entropy(self) -> Float[Array, "*B"]:
        """-Σ p log p, in nats; forbidden actions count 0."""
        log_p = jax.nn.log_softmax(self.logits)
        return -jnp.sum(jnp.exp(log_p) * _finite(log_p), axis=-1)

    def kl(self, other: "Categorical") -> Float[Array, "*B"]:
        """KL(self, other) = Σ p (log p - log q), over what both allow."""
        log_p, log_q = jax.nn.log_softmax(self.logits), jax.nn.log_softmax(other.logits)
        return jnp.sum(jnp.exp(log_p) * (_finite(log_p) - _finite(log_q)), axis=-1)

    def mode(self) -> Int[Array, "*B"]:
        """The likeliest action."""
        return jnp.argmax(self.logits, axis=-1)


def _finite(log_p: Float[Array, "..."]) -> Float[Array, "..."]:
    """``log_p`` with 0 for -inf, so that p log p and its gradient are 0 where p is, not NaN."""
    return jnp.where(jnp.isneginf(log_p), 0.0, log_p)


class Gaussian(NamedTuple):
    """Independent normal variables over the last axis; ``mean`` and ``log_std`` ``[..., A]``."""

    mean: Float[Array, "*B A"]
    log_std: Float[Array, "*B A"]

    def sample(self, key: Array) -> Float[Array, "*B A"]:
        """Mean + std ε, ε ~ N(0, 1)."""
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)

    def log_prob(self, action: Float[Array, "*B A"]) -> Float[Array, "*B"]:
        """Log density: Σ over A of -½ z² - log std - ½ log 2π, z = (action - mean) / std."""
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * jnp.square(z) - self.log_std - 0.5 * LOG_2PI, axis=-1)

    def entropy(self) -> Float[Array, "*B"]:
        """Differential entropy: Σ log std + ½ (1 + log 2π), in nats."""
        return jnp.sum(self.log_std + 0.5 * (1.0 + LOG_2PI), axis=-1)

    def kl(self, other: "Gaussian") -> Float[Array, "*B"]:
        """KL(self, other) = Σ log(σ₂/σ₁) + (σ₁² + (μ₁ - μ₂)²) / (2 σ₂²) - ½."""
        spread = jnp.exp(2.0 * (self.log_std - other.log_std))
        shift = jnp.square((self.mean - other.mean) * jnp.exp(-other.log_std))
        return jnp.sum(other.log_std - self.log_std + 0.5 * (spread + shift - 1.0), axis=-1)

    def mode(self) -> Float[Array, "*B A"]:
        """The mean."""
        return self.mean
