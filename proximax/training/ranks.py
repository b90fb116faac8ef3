"""What the processes of one run agree on between two updates: rank 0 decides, logs and saves, a signal stops all.

With several processes every method must be called by all of them, in the same order; with one there is no exchange.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from proximax.config import RunConfig
from proximax.distributed import Place, agree, check_computation, join, others_needed
from proximax.runs import RunDirectory, bytes_of_tree, checkpoint_names, tree_of_bytes
from proximax.runtime import from_processes, largest, local_shards, on_this_device, place_whole
from proximax.types import PyTree, TrainState

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Ranks(NamedTuple):
    """The processes of a run, of which this is number ``rank`` of ``size``."""

    rank: int = 0
    size: int = 1
    place: Place | None = None  # None: this process is alone

    @property
    def is_first(self) -> bool:
        """Whether this process decides, logs and saves."""
        return self.rank == 0

    def first_says(self, number: int) -> int:
        """The number that rank 0 calls this with."""
        return number if self.size == 1 else int(from_processes(np.array(number))[0])

    def largest(self, number: int) -> int:
        """The largest of the numbers that the ranks call this with."""
        return number if self.size == 1 else largest(number)

    def total(self, number: int) -> int:
        """The sum of the numbers that the ranks call this with."""
        return number if self.size == 1 else int(from_processes(np.array(number)).sum())

    def first_before_others(self, function: Callable[[], Result]) -> Result:
        """What ``function`` gives, called by rank 0 before the others call it."""
        if self.is_first:
            result = function()
            self.first_says(0)
            return result
        self.first_says(0)
        return function()

    def gather(self, tree: PyTree) -> list[PyTree]:
        """The trees of all ranks, as ``runs.to_plain`` takes them: dicts and lists of arrays and plain values."""
        if self.size == 1:
            return [tree]
        data = np.frombuffer(bytes_of_tree(tree), np.uint8)
        sizes = from_processes(np.array(data.size))
        every = from_processes(np.pad(data, (0, int(sizes.max()) - data.size)))
        return [tree_of_bytes(part[:size].tobytes()) for part, size in zip(every, sizes)]

    def join_env_states(self, state: PyTree | None) -> PyTree | None:
        """The state of the environments of all shards; None where a rank has none."""
        states = self.gather(state)
        if self.size == 1 or None in states:
            return None if None in states else state
        return {"groups": [shard for part in states for shard in part["groups"]]}

    def settings_of_first(self, state: TrainState, shards: int) -> TrainState:
        """``state`` with the numbers that callbacks, which only rank 0 has, may have set."""
        if self.size == 1:
            return state
        settings = {"learning_rate": state.learning_rate, **state.hyperparameters}
        ours = jax.tree.map(np.asarray, on_this_device(settings))
        numbers = from_processes(np.stack([ours[name] for name in sorted(ours)]))[0]
        placed = place_whole(dict(zip(sorted(ours), numbers)), jax.sharding.PartitionSpec(), shards)
        return state._replace(learning_rate=placed.pop("learning_rate"), hyperparameters=placed)


class Places(NamedTuple):
    """Where a run is: on disk, and among the processes that train it."""

    directory: RunDirectory | None  # to write to; None: nothing is written by this process
    continued: Path | None  # the run to resume
    ranks: Ranks


def join_ranks(config: RunConfig) -> tuple[Ranks, list[str]]:
    """The place of this process among those that its launcher started, and notes; alone without a launcher."""
    place = join(config.shards)
    if place is None:
        return Ranks(), []
    return Ranks(place.rank, place.size, place), agree(place, config.shards, config.to_json())


def others_needed_by(ranks: Ranks, directory: Path | None) -> AbstractContextManager[None]:
    """Name the loss of another process, within the block, and what is saved in the run's directory."""

    def hint() -> str:
        names = checkpoint_names(directory / "checkpoints") if directory else []
        return f"Saved until {directory}/checkpoints/{names[0]}: --resume auto resumes from there" if names else ""

    return others_needed(f"rank {ranks.rank} of {ranks.size}", hint)


def check_ranks(ranks: Ranks, shards: int, notes: list[str]) -> None:
    """Show the notes, and try what the processes compute together."""
    for note in notes:
        logger.info(note)
    if ranks.place is not None:
        check_computation(ranks.place, shards)


def config_of_rank(config: RunConfig, ranks: Ranks) -> RunConfig:
    """The settings by which a rank works beside the learner: only the first records videos."""
    return config if ranks.is_first else replace(config, video_every=None)


def env_state_of_rank(state: PyTree, shards: int) -> PyTree:
    """The part of ``Ranks.join_env_states`` that is of this rank's shards."""
    if shards == 1 or not isinstance(state, dict) or not isinstance(state.get("groups"), list):
        return state  # ``set_state`` says what is wrong
    mine = local_shards(shards)
    return {"groups": state["groups"][mine.start : mine.stop]} if len(state["groups"]) == shards else state
