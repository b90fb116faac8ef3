"""Which cores each of the processes of a machine gets."""

import os
from collections.abc import Sequence
from itertools import pairwise

from proximax.distributed.facts import Facts, ranks_text
from proximax.runtime import plural


def cores_of_ranks(facts: Sequence[Facts]) -> list[list[int]]:
    """The cores that every rank is to run on: those that a launcher gave to several ranks alike are divided."""
    found: dict[int, list[int]] = {}
    for ranks in ranks_of_machines(facts).values():
        for rank in ranks:
            cores = facts[rank]["cores"]
            sharing = [other for other in ranks if facts[other]["cores"] == cores]
            found[rank] = divide(cores, len(sharing))[sharing.index(rank)]
    return [found[rank] for rank in range(len(facts))]


def ranks_of_machines(facts: Sequence[Facts]) -> dict[str, list[int]]:
    """The ranks on each machine."""
    machines: dict[str, list[int]] = {}
    for rank, each in enumerate(facts):
        machines.setdefault(each["machine"], []).append(rank)
    return machines


def divide(cores: Sequence[int], parts: int) -> list[list[int]]:
    """``cores`` in parts as equal as can be; all of them for each where there are fewer cores than parts."""
    if len(cores) < parts:
        return [list(cores)] * parts
    ends = [len(cores) * i // parts for i in range(parts + 1)]
    return [list(cores[low:high]) for low, high in pairwise(ends)]


def use_cores(cores: Sequence[int]) -> None:
    """Keep this process, and the threads and processes it starts from now on, on these cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def cores_text(facts: Sequence[Facts], cores: Sequence[Sequence[int]], shards: int) -> str:
    """``4 processes, 8 shards. head: ranks 0-1, 8 cores each; node2: ranks 2-3, 8 cores each``."""
    texts = []
    for machine, ranks in ranks_of_machines(facts).items():
        counts = sorted({len(cores[rank]) for rank in ranks})
        size = f"{counts[0]} to {counts[-1]} cores" if len(counts) > 1 else plural(counts[0], "core")
        crowded = len({core for rank in ranks for core in cores[rank]}) < len(ranks)
        how = " in all: fewer than processes, which will be slow" if crowded else " each" if len(ranks) > 1 else ""
        texts.append(f"{machine.partition(' ')[0]}: {ranks_text(ranks)}, {size}{how}")
    return f"{len(facts)} processes, {plural(shards, 'shard')}. {'; '.join(texts)}"
