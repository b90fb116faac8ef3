"""The natural gradient and the trust region around it: solved without ever forming the Fisher matrix F.

Parameters are one flat vector ``[P]``.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Vector = Float[Array, " P"]
SMALL = 1e-20  # gᵀ F⁻¹ g below this is that of a gradient that vanishes


def fisher_vector_product(
    kl: Callable[[Vector], Float[Array, ""]],  # the mean KL(π_params, π_p) as a function of p
    params: Vector,  # those of the policy that acted
    damping: float | Float[Array, ""] = 0.0,  # keeps the product away from 0 where F is singular
    of_all: Callable[[Vector], Vector] = lambda curvature: curvature,
) -> Callable[[Vector], Vector]:
    """v -> (F + damping I) v, where F is the second derivative of the mean KL(π_params, π) at π = π_params.

    ``kl(p)`` is that mean as a function of π's parameters p. Reverse over reverse: F is symmetric, so F v = vᵀ F is the
    gradient of ``kl`` pulled back along v; what does not depend on v is computed once for all products. ``of_all``: F v
    from the part that ``kl`` gives, where it is a part of that mean.
    Source: Schulman et al. 2015 (arXiv 1502.05477), appendix C; Pearlmutter 1994, "Fast exact multiplication by the
    Hessian".
    """
    _, pull_back = jax.vjp(jax.grad(kl), params)

    def product(v: Vector) -> Vector:
        (curvature,) = pull_back(v)
        return of_all(curvature) + damping * v

    return product


def conjugate_gradient(matvec: Callable[[Vector], Vector], b: Vector, iterations: int = 10) -> Vector:
    """x with M x ≈ b, M symmetric and positive definite, given as ``matvec(v)`` = M v; starts from 0.

    ``iterations`` steps, fewer once the residual is 0: exact, to rounding, after as many as M has distinct eigenvalues.
    Source: Hestenes & Stiefel 1952, "Methods of conjugate gradients for solving linear systems".
    """
    solved = (b @ b) * jnp.finfo(b.dtype).eps ** 2

    def step(_: Any, state: tuple[Vector, Vector, Vector]) -> tuple[Vector, Vector, Vector]:
        x, residual, direction = state
        size = residual @ residual
        product = matvec(direction)
        curvature = direction @ product
        # Converged, or rounding has spoilt the direction; false for NaN, which must not be hidden.
        stay = (size <= solved) | (curvature <= 0)
        length = jnp.where(stay, 0.0, size / jnp.where(stay, 1.0, curvature))
        x, new = x + length * direction, residual - length * product
        direction = jnp.where(stay, direction, new + (new @ new) / jnp.where(stay, 1.0, size) * direction)
        return x, new, direction

    x, _, _ = jax.lax.fori_loop(0, iterations, step, (jnp.zeros_like(b), b, b))
    return x


def natural_gradient_step(
    gradient: Vector,
    fisher_vector_product: Callable[[Vector], Vector],
    delta: float | Float[Array, ""],
    iterations: int = 10,
) -> Vector:
    """sqrt(2 δ / gᵀ F⁻¹ g) F⁻¹ g: the step up the objective whose KL is δ where the KL is its quadratic model.

    F⁻¹ g is found by conjugate gradient. A zero gradient gives a zero step.
    Source: Kakade 2001, "A natural policy gradient"; Schulman et al. 2015 (arXiv 1502.05477), appendix C.
    """
    # Scaled first: the step does not depend on the length of g, but float32 squares do.
    most = jnp.max(jnp.abs(gradient))
    unit = gradient / jnp.where(most == 0, 1.0, most)
    direction = conjugate_gradient(fisher_vector_product, unit, iterations)
    slope = unit @ direction
    vanishes = slope <= SMALL  # false for NaN
    return jnp.where(vanishes, 0.0, jnp.sqrt(2.0 * delta / jnp.where(vanishes, 1.0, slope)) * direction)


def line_search(
    evaluate: Callable[[Vector], tuple[Float[Array, ""], Float[Array, ""]]],
    params: Vector,
    step: Vector,
    delta: float | Float[Array, ""],
    backtracks: int = 10,
) -> tuple[Vector, Float[Array, ""], Float[Array, ""]]:
    """The first of params + ½ʲ step, j = 0, 1, ..., ``backtracks``, that raises the objective and keeps KL <= δ.

    ``evaluate(p)`` gives (objective, mean KL) there. Returns (its parameters, the fraction ½ʲ of the step, its KL);
    (``params``, 0, 0) if there is none.
    Source: Schulman et al. 2015 (arXiv 1502.05477), appendix C.
    """
    before, _ = evaluate(params)

    def searching(state: tuple[Array, Array, Array]) -> Array:
        tried, _, found = state
        return ~found & (tried <= backtracks)

    def attempt(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        tried, _, _ = state
        objective, kl = evaluate(params + 0.5**tried * step)
        return tried + 1, kl, (objective > before) & (kl <= delta)  # false for NaN

    begin = jnp.zeros((), jnp.int32), jnp.zeros_like(before), jnp.zeros((), bool)
    tried, kl, found = jax.lax.while_loop(searching, attempt, begin)
    share = jnp.where(found, 0.5 ** (tried - 1), 0.0).astype(before.dtype)
    return jnp.where(found, params + share * step, params), share, jnp.where(found, kl, 0.0)
