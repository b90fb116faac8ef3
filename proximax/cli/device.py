"""Where a command computes: ``--device``."""

import jax

from proximax.errors import DependencyError

GPU_REMEDY = 'pip install "jax[cuda13]" (older drivers: "jax[cuda12]"), or leave out --device'


def use_device(device: str) -> None:
    """Choose JAX's platform before it starts."""
    if device == "auto":
        return
    jax.config.update("jax_platforms", "cpu" if device == "cpu" else "cuda,rocm,cpu")
    if device == "cpu":
        return
    try:
        found = jax.default_backend()
    except RuntimeError as error:
        raise DependencyError(f"--device {device}: JAX could not start it: {error}. {GPU_REMEDY}") from error
    if found == "cpu":
        raise DependencyError(f"--device gpu: JAX sees no GPU. {GPU_REMEDY}")
