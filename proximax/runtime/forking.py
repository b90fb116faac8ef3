"""Processes that an environment forks from this one: what they must not keep, and what does not work there.

A forked child has a copy of every descriptor. A lock would outlive the process that holds it, and a worker would never
see that its parent has gone.
"""

import os
import sys
from contextlib import suppress

from proximax.errors import UsageError

# Descriptors of this process alone, and what they were of: one that was closed may have been given to another file.
_PRIVATE: dict[int, os.stat_result] = {}
_forked_after_jax = False


def keep_from_children(descriptor: int) -> None:
    """Let no child process that is forked have this descriptor."""
    _PRIVATE[descriptor] = os.fstat(descriptor)


def close_private(descriptor: int) -> None:
    """Close a descriptor that was kept from children."""
    _PRIVATE.pop(descriptor, None)
    os.close(descriptor)


def forget_private(descriptor: int) -> None:
    """Note that a descriptor kept from children is about to be closed by its owner."""
    _PRIVATE.pop(descriptor, None)


def refuse_fork() -> None:
    """Raise ``UsageError`` in a process forked from one in which JAX had started: there JAX waits forever."""
    if _forked_after_jax:
        raise UsageError(
            "this process was forked from one in which JAX had started, and JAX does not work in such a process. Start "
            "it again: multiprocessing.get_context('spawn'), or 'forkserver'"
        )


def _after_fork_in_child() -> None:
    global _forked_after_jax  # of the process, as the fork is
    _forked_after_jax = _forked_after_jax or bool(getattr(sys.modules.get("jax._src.xla_bridge"), "_backends", None))
    if not _PRIVATE:
        return
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor, status in _PRIVATE.items():
        with suppress(OSError):  # it was closed
            if os.path.samestat(status, os.fstat(descriptor)):
                os.dup2(nothing, descriptor, inheritable=False)  # its number stays taken: who owns it will close it
    os.close(nothing)
    _PRIVATE.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
