"""Several processes that train together: who they are, how they meet, what starts them and watches over them.

Read ``place`` (rank, size and address from the launcher's variables), ``join`` (JAX's coordinator and collectives),
``facts`` (what all must have in common), ``cores`` (of each process), ``start_check`` (facts compared, an
update tried).
"""

from proximax.distributed.join import join, leave
from proximax.distributed.place import Place, find_place
from proximax.distributed.start_check import agree, check_computation

__all__ = [
    "Place",
    "agree",
    "check_computation",
    "find_place",
    "join",
    "leave",
]
