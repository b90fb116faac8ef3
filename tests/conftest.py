"""The whole suite runs with rank promotion forbidden (TRAPS: (B, 1) - (B,) would silently make (B, B))."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
