"""Action distributions: records of parameters with exact log_prob, entropy, kl, mode and sample.

Leading axes are the batch; each method returns one number (or one action) per batch row.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jaxtyping import Array, Float, Int

from proximax.maths import beta_function

LOG_2PI = math.log(2.0 * math.pi)
_EDGE = 1e-6  # Beta samples keep this far from 0 and 1, where the log density may be infinite


class Distribution(Protocol):
    """What the update and the rollout need from a distribution over actions."""

    def sample(self, key: Array) -> Array: ...  # noqa: D102

    def log_prob(self, action: Array) -> Array: ...  # noqa: D102

    def entropy(self) -> Array: ...  # noqa: D102

    def kl(self, other: Any) -> Array: ...  # noqa: D102

    def mode(self) -> Array: ...  # noqa: D102


class Categorical(NamedTuple):
    """One of ``n`` choices; ``logits`` ``[..., n]`` need not be normalised. A logit of -inf means probability 0."""

    logits: Float[Array, "*B n"]  # log p + any constant

    def sample(self, key: Array) -> Int[Array, "*B"]:
        """Sample one action per sample of the batch (Gumbel maximum)."""
        return jax.random.categorical(key, self.logits)

    def log_prob(self, action: Int[Array, "*B"]) -> Float[Array, "*B"]:
        """log p(action)."""
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
        """KL(self, other) = Σ p (log p - log q), over what self allows; infinite where other forbids some of it."""
        log_p, log_q = jax.nn.log_softmax(self.logits), jax.nn.log_softmax(other.logits)
        log_q = jax.lax.select(jnp.isneginf(log_p), jnp.zeros_like(log_p), log_q)  # 0 (-inf - -inf) would be NaN
        gain = _finite(log_p) - log_q
        return jnp.sum(jnp.exp(log_p) * gain, axis=-1)

    def mode(self) -> Int[Array, "*B"]:
        """The most likely action."""
        return jnp.argmax(self.logits, axis=-1)


def _finite(log_p: Float[Array, "..."]) -> Float[Array, "..."]:
    """``log_p`` with 0 for -inf, so that p log p and its gradient are 0 where p is, not NaN."""
    return jnp.where(jnp.isneginf(log_p), 0.0, log_p)


@partial(jax.tree_util.register_dataclass, data_fields=["logits"], meta_fields=["sizes"])
@dataclass(frozen=True)
class MultiCategorical:
    """Independent choices, the i-th one of ``sizes[i]``; their logits stand one after the other in the last axis."""

    logits: Float[Array, "*B n"]  # of all choices, one after the other
    sizes: tuple[int, ...]  # of options of each choice

    def _each(self) -> Categorical:
        """The choices along a new axis ``[*B, D, max(sizes)]``, filled up with options of probability 0."""
        if len(set(self.sizes)) == 1:
            return Categorical(self.logits.reshape((*self.logits.shape[:-1], len(self.sizes), self.sizes[0])))
        ends = np.cumsum(self.sizes)
        column = np.arange(max(self.sizes))[None]
        there = column < np.array(self.sizes)[:, None]
        padded = self.logits[..., np.where(there, (ends - self.sizes)[:, None] + column, 0)]
        return Categorical(jnp.where(np.broadcast_to(there, padded.shape), padded, -jnp.inf))

    def sample(self, key: Array) -> Int[Array, "*B D"]:
        """Draw all choices."""
        return self._each().sample(key)

    def log_prob(self, action: Int[Array, "*B D"]) -> Float[Array, "*B"]:
        """log p(action), the sum over the choices."""
        return jnp.sum(self._each().log_prob(action), axis=-1)

    def entropy(self) -> Float[Array, "*B"]:
        """The sum of the choices' entropies, in nats."""
        return jnp.sum(self._each().entropy(), axis=-1)

    def kl(self, other: "MultiCategorical") -> Float[Array, "*B"]:
        """KL(self, other), the sum over the choices."""
        return jnp.sum(self._each().kl(other._each()), axis=-1)

    def mode(self) -> Int[Array, "*B D"]:
        """The most likely option of each choice."""
        return self._each().mode()


class Bernoulli(NamedTuple):
    """Independent bits; ``logits`` ``[..., n]`` are log p(1) / p(0). ±inf: the bit is certain."""

    logits: Float[Array, "*B n"]  # log p(1) / p(0)

    def _each(self) -> Categorical:
        """Each bit as a choice of two ``[*B, n, 2]``."""
        zero = jnp.where(jnp.isposinf(self.logits), -jnp.inf, 0.0)
        one = jnp.where(jnp.isposinf(self.logits), 0.0, self.logits)
        return Categorical(jnp.stack([zero, one], axis=-1))

    def sample(self, key: Array) -> Int[Array, "*B n"]:
        """Draw all bits."""
        return self._each().sample(key)

    def log_prob(self, action: Int[Array, "*B n"]) -> Float[Array, "*B"]:
        """log p(action), the sum over the bits."""
        return jnp.sum(self._each().log_prob(action), axis=-1)

    def entropy(self) -> Float[Array, "*B"]:
        """The sum of the bits' entropies, in nats."""
        return jnp.sum(self._each().entropy(), axis=-1)

    def kl(self, other: "Bernoulli") -> Float[Array, "*B"]:
        """KL(self, other), the sum over the bits."""
        return jnp.sum(self._each().kl(other._each()), axis=-1)

    def mode(self) -> Int[Array, "*B n"]:
        """The more likely value of each bit."""
        return self._each().mode()


class Gaussian(NamedTuple):
    """Independent normal variables over the last axis; ``mean`` and ``log_std`` ``[..., A]``."""

    mean: Float[Array, "*B A"]  # μ
    log_std: Float[Array, "*B A"]  # log σ

    def sample(self, key: Array) -> Float[Array, "*B A"]:
        """mean + std ε, ε ~ N(0, 1)."""
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


class SquashedGaussian(NamedTuple):
    """The tanh of a Gaussian x: actions in (-1, 1). An *action* here is x, before tanh: nothing is lost near ±1.

    Source: Haarnoja et al. 2018 (arXiv 1801.01290), appendix C.
    """

    mean: Float[Array, "*B A"]  # μ of x, before tanh
    log_std: Float[Array, "*B A"]  # log σ of x

    def sample(self, key: Array) -> Float[Array, "*B A"]:
        """Draw x; the environment's action is tanh(x)."""
        return Gaussian(self.mean, self.log_std).sample(key)

    def log_prob(self, action: Float[Array, "*B A"]) -> Float[Array, "*B"]:
        """Log density of tanh(x): that of x less Σ log(1 - tanh² x) = Σ 2 (ln 2 - x - softplus(-2x))."""
        slope = 2.0 * (math.log(2.0) - action - jax.nn.softplus(-2.0 * action))
        return Gaussian(self.mean, self.log_std).log_prob(action) - jnp.sum(slope, axis=-1)

    def entropy(self) -> Float[Array, "*B"]:
        """Entropy of tanh(x), in nats: that of x less 2 Σ E[log cosh x], integrated numerically to 1e-6."""
        squeeze = 2.0 * _mean_log_cosh(self.mean, jnp.exp(self.log_std))
        return Gaussian(self.mean, self.log_std).entropy() - jnp.sum(squeeze, axis=-1)

    def kl(self, other: "SquashedGaussian") -> Float[Array, "*B"]:
        """KL(self, other): that of the Gaussians, since tanh is one-to-one."""
        return Gaussian(self.mean, self.log_std).kl(Gaussian(other.mean, other.log_std))

    def mode(self) -> Float[Array, "*B A"]:
        """The mean of x: tanh of it is the median of the actions, whose density may peak at both ends at once."""
        return self.mean


# Nodes and weights for E[log cosh x]: of a normal variable (Gauss-Hermite), of the interval [0, 12] (Gauss-Legendre).
_NORMAL_NODES, _NORMAL_WEIGHTS = np.polynomial.hermite_e.hermegauss(16)
_NODES, _WEIGHTS = (np.asarray(x) * 6.0 + shift for x, shift in zip(np.polynomial.legendre.leggauss(32), (6.0, 0.0)))


def _mean_log_cosh(mean: Float[Array, "..."], std: Float[Array, "..."]) -> Float[Array, "..."]:
    """E[log cosh x] for x normal, by quadrature: Gauss-Hermite for a narrow one; it fails where the kink is narrower.

    Wide: log cosh x = |x| - ln 2 + log(1 + e^(-2|x|)), where E|x| has a closed form and the rest lives near 0.
    """
    # Not minimum and maximum, which halve the gradient of a tie.
    narrow, wide = jnp.where(std < 0.5, std, 0.5), jnp.where(std < 0.5, 0.5, std)
    x = mean[..., None] + narrow[..., None] * _lead(_NORMAL_NODES, mean)
    normal_weights = _lead(_NORMAL_WEIGHTS / np.sqrt(2.0 * np.pi), mean)
    near = jnp.sum(normal_weights * (jnp.logaddexp(x, -x) - math.log(2.0)), axis=-1)
    z = mean / wide
    size = wide * math.sqrt(2.0 / math.pi) * jnp.exp(-0.5 * z * z) + mean * (2.0 * ndtr(z) - 1.0)
    nodes = _lead(_NODES, mean)
    ends = [jnp.exp(-0.5 * jnp.square((nodes - sign * mean[..., None]) / wide[..., None])) for sign in (1.0, -1.0)]
    density = (ends[0] + ends[1]) / (wide[..., None] * math.sqrt(2.0 * math.pi))
    rest = jnp.sum(_lead(_WEIGHTS, mean) * jnp.log1p(jnp.exp(-2.0 * nodes)) * density, axis=-1)
    return jnp.where(std < 0.5, near, size - math.log(2.0) + rest)


def _lead(nodes: np.ndarray, like: Float[Array, "..."]) -> Float[Array, "..."]:
    """``nodes`` ``[n]`` with as many leading axes as ``like`` has."""
    return jnp.asarray(nodes, like.dtype).reshape((1,) * like.ndim + (-1,))


class Beta(NamedTuple):
    """Independent Beta variables over the last axis: actions in (0, 1); ``alpha`` and ``beta`` ``[..., A]`` > 0.

    Source: Chou, Maturana & Scherer 2017, "Improving stochastic policy gradients ... using the Beta distribution".
    """

    alpha: Float[Array, "*B A"]  # α, which pulls towards 1
    beta: Float[Array, "*B A"]  # β, which pulls towards 0

    def sample(self, key: Array) -> Float[Array, "*B A"]:
        """Draw; never exactly 0 or 1."""
        return jnp.clip(jax.random.beta(key, self.alpha, self.beta), _EDGE, 1.0 - _EDGE)

    def log_prob(self, action: Float[Array, "*B A"]) -> Float[Array, "*B"]:
        """Log density: Σ (α - 1) log x + (β - 1) log(1 - x) - log B(α, β)."""
        return jnp.sum(beta_function.log_density(self.alpha, self.beta, jnp.clip(action, _EDGE, 1.0 - _EDGE)), axis=-1)

    def entropy(self) -> Float[Array, "*B"]:
        """Differential entropy, in nats: Σ log B(α, β) - (α - 1) ψ(α) - (β - 1) ψ(β) + (α + β - 2) ψ(α + β)."""
        return jnp.sum(beta_function.entropy(self.alpha, self.beta), axis=-1)

    def kl(self, other: "Beta") -> Float[Array, "*B"]:
        """KL(self, other) = Σ log B'/B + (α - α') ψ(α) + (β - β') ψ(β) + (α' - α + β' - β) ψ(α + β)."""
        return jnp.sum(beta_function.kl(self.alpha, self.beta, other.alpha, other.beta), axis=-1)

    def mode(self) -> Float[Array, "*B A"]:
        """(α - 1) / (α + β - 2) where both are above 1, else the mean."""
        a, b = self.alpha, self.beta
        peaked = (a > 1.0) & (b > 1.0)
        return jnp.where(peaked, (a - 1.0) / jnp.where(peaked, a + b - 2.0, 1.0), a / (a + b))


class Joint(NamedTuple):
    """Independent parts; an action is the tuple of theirs, and log_prob, entropy and kl are sums."""

    parts: tuple[Any, ...]  # a distribution for each part of an action

    def sample(self, key: Array) -> tuple[Array, ...]:
        """Draw every part with a key of its own."""
        return tuple(part.sample(k) for part, k in zip(self.parts, jax.random.split(key, len(self.parts))))

    def log_prob(self, action: tuple[Array, ...]) -> Float[Array, "*B"]:
        """log p(action), the sum over the parts."""
        return jnp.sum(jnp.stack([part.log_prob(a) for part, a in zip(self.parts, action, strict=True)]), axis=0)

    def entropy(self) -> Float[Array, "*B"]:
        """The sum of the parts' entropies."""
        return jnp.sum(jnp.stack([part.entropy() for part in self.parts]), axis=0)

    def kl(self, other: "Joint") -> Float[Array, "*B"]:
        """KL(self, other), the sum over the parts."""
        return jnp.sum(jnp.stack([p.kl(q) for p, q in zip(self.parts, other.parts, strict=True)]), axis=0)

    def mode(self) -> tuple[Array, ...]:
        """Every part's mode."""
        return tuple(part.mode() for part in self.parts)
