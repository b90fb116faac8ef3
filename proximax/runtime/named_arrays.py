"""Trees of arrays as files keep them: each array under its path, and back into a tree whose shapes are known."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from proximax.errors import CheckpointError
from proximax.types import PyTree


def named_leaves(tree: PyTree) -> dict[str, np.ndarray]:
    """Every array of a tree under its path; of random keys their data."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(_key_data(leaf)) for path, leaf in leaves}


def _key_data(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


def is_key(leaf: object) -> bool:
    """Whether a leaf holds random keys."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def restore_tree(like: PyTree, tensors: dict[str, np.ndarray], where: Path) -> PyTree:
    """The tree ``like``, of arrays or their shapes, with the file's arrays, which it takes out of ``tensors``.

    They must be of the same shapes and dtypes, finite, and none missing.
    """
    paths, structure = jax.tree_util.tree_flatten_with_path(like)
    # Not ``named_leaves``: nothing that a config asks for is allocated before the file is known to hold as much.
    named = {jax.tree_util.keystr(path): leaf for path, leaf in paths}
    if missing := [name for name in named if name not in tensors]:
        raise CheckpointError(f"{where} does not fit this run: {', '.join(missing[:4])} not in it")
    restored = {name: tensors.pop(name) for name in named}
    for name, leaf in ((name, _key_data(leaf)) for name, leaf in named.items()):
        if restored[name].shape != leaf.shape:
            raise CheckpointError(f"{where}: {name} is {restored[name].shape}, the config makes it {leaf.shape}")
        if restored[name].dtype != jax.dtypes.canonicalize_dtype(leaf.dtype) and restored[name].dtype != leaf.dtype:
            raise CheckpointError(f"{where}: {name} holds {restored[name].dtype}, the run makes it {leaf.dtype}")
        if (
            restored[name].dtype.kind == "f"
            and not name.startswith(".rollout")
            and not np.isfinite(restored[name]).all()
        ):
            raise CheckpointError(f"{where}: {name} holds values that are not finite")
    pairs = zip(named.values(), restored.values(), strict=True)
    return jax.tree.unflatten(structure, [_as_keys(leaf, x) for leaf, x in pairs])


def _as_keys(leaf: Any, x: Any) -> Any:
    """``x``; the random keys of which it is the data, if ``leaf`` holds keys."""
    return jax.random.wrap_key_data(x, impl=jax.random.key_impl(leaf)) if is_key(leaf) else x


def check_no_extra_arrays(tensors: dict[str, np.ndarray], where: Path) -> None:
    """Refuse arrays that the run has no use for."""
    if tensors:
        raise CheckpointError(
            f"{where} does not fit this run: it also holds {', '.join(map(repr, sorted(tensors)[:4]))}"
        )
