"""Several processes that train together: who they are, how they meet, what starts them and watches over them.

Read ``place`` (rank, size and address from the launcher's variables), ``joining`` (JAX's coordinator and collectives),
``facts`` (what all must have in common), ``cores`` (of each process), ``start_check`` (facts compared, an update
tried), ``child`` (a process and its progress), ``supervisor`` (starts processes, again where needed); the same by Ray:
``ray_group`` (the command), ``ray_worker`` (beside each process), ``board`` (what these tell one another).
"""

from proximax.distributed.child import PROGRESS, end_with_parent, mark_progress
from proximax.distributed.joining import join, leave, others_needed
from proximax.distributed.place import Place, find_place
from proximax.distributed.ray_group import supervise_with_ray
from proximax.distributed.start_check import agree, check_computation
from proximax.distributed.supervisor import Launch, supervise, this_program

__all__ = [
    "PROGRESS",
    "Launch",
    "Place",
    "agree",
    "check_computation",
    "end_with_parent",
    "find_place",
    "join",
    "leave",
    "mark_progress",
    "others_needed",
    "supervise",
    "supervise_with_ray",
    "this_program",
]
