"""Several processes that train together: who they are, how they meet.

Read ``place`` (rank, size and address from the launcher's variables), ``join`` (JAX's coordinator and collectives).
"""

from proximax.distributed.join import join, leave
from proximax.distributed.place import Place, find_place

__all__ = [
    "Place",
    "find_place",
    "join",
    "leave",
]
