"""What an agent with memory remembers: a carry for each row of a batch, or for each stream of observations."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from proximax.config import shown
from proximax.errors import UsageError
from proximax.types import PyTree

Stream = int | str  # what a stream of observations is called


class Memories:
    """The carries of the episodes that an agent acts in.

    Without streams there are B rows, always the same ones: row i continues where row i was. With streams each row says
    which stream it belongs to, so rows may come, go and change places.
    """

    def __init__(self, initial_carry: Callable[[int], PyTree]) -> None:
        self._initial_carry = initial_carry
        self._rows: PyTree = None  # ``[B, ...]``; None: every episode is about to open
        self._streams: dict[Stream, PyTree] = {}  # ``[1, ...]`` each

    def recall(self, size: int, first: Any = None, streams: Any = None) -> tuple[PyTree, np.ndarray]:
        """(the carries ``[size, ...]``, whether each row opens an episode); nothing is changed."""
        if first is not None and (np.shape(first) not in ((), (size,)) or np.asarray(first).dtype != np.bool_):
            raise UsageError(f"first = {shown(first)}: must be True or False, or {size} of these, one for each row")
        if streams is not None:
            return self._of_streams(stream_names(streams, size), first)
        if self._streams:
            raise UsageError(f"the policy remembers {len(self._streams)} streams: pass streams=, or call reset()")
        opens = np.full(size, self._rows is None)
        opens = opens if first is None else opens | first
        remembered = None if self._rows is None else len(jax.tree.leaves(self._rows)[0])
        if remembered is None or (remembered != size and opens.all()):
            return self._initial_carry(size), opens
        if remembered != size:
            raise UsageError(
                f"{size} observations, but the policy remembers {remembered} episodes: call reset(), pass first=True, "
                "or say with streams= which they are"
            )
        return self._rows, opens

    def _of_streams(self, names: list[Stream], first: Any) -> tuple[PyTree, np.ndarray]:
        if self._rows is not None:
            raise UsageError("streams: the policy has acted on rows without them: call reset()")
        opens = np.array([name not in self._streams for name in names])
        new = jax.tree.map(np.asarray, self._initial_carry(1))
        parts = [self._streams.get(name, new) for name in names]
        carry = jax.tree.map(lambda *rows: np.concatenate(rows), *parts)
        return carry, opens if first is None else opens | first

    def keep(self, carry: PyTree, streams: Any = None) -> None:
        """Remember the carries ``[B, ...]`` after a step."""
        if streams is None:
            self._rows = carry
            return
        arrays, structure = jax.tree.flatten(jax.tree.map(np.asarray, carry))
        for i, name in enumerate(stream_names(streams, len(arrays[0]))):
            # A copy: a view would hold the whole batch for as long as one stream lasts.
            self._streams[name] = jax.tree.unflatten(structure, [x[i : i + 1].copy() for x in arrays])

    def forget(self, streams: Any = None) -> None:
        """Forget these streams, or everything."""
        if streams is None:
            self._rows, self._streams = None, {}
            return
        for name in stream_names(streams):
            self._streams.pop(name, None)


def stream_names(streams: Any, size: int | None = None) -> list[Stream]:
    """The names of ``size`` streams, integers or strings, all different."""
    single = isinstance(streams, (int, str, np.integer))
    given = [streams] if single else list(streams) if isinstance(streams, Iterable) else [None]
    names: list[Any] = [int(name) if isinstance(name, np.integer) else name for name in given]
    if not all(isinstance(name, (int, str)) and not isinstance(name, bool) for name in names):
        raise UsageError(f"streams = {shown(streams)}: must be integers or strings")
    if len(set(names)) < len(names):
        raise UsageError(f"streams = {shown(streams)}: one of them is there twice")
    if size is not None and len(names) != size:
        raise UsageError(f"streams = {shown(streams)}: must be {size}, one for each row")
    return names
