"""Before the processes of a training come together: who may join, for how long each waits, where rank 0 listens."""

import sys

import jax
import pytest

from proximax.distributed.joining import (
    check_shards,
    join,
    leave,
    listening_address,
    others_needed,
    own_address,
    start_seconds,
)
from proximax.distributed.place import Place
from proximax.errors import DistributedError, UsageError

TWO = {"PROXIMAX_RANK": "1", "PROXIMAX_SIZE": "2", "PROXIMAX_COORDINATOR": "127.0.0.1:23456"}


@pytest.fixture
def second_of_two(monkeypatch):
    for name, value in TWO.items():
        monkeypatch.setenv(name, value)
    return Place(1, 2, "127.0.0.1:23456")


def test_shards_that_the_processes_cannot_share_are_refused_with_a_number_that_they_can(second_of_two):
    with pytest.raises(
        UsageError, match=r"PROXIMAX_SIZE says 2 processes, which cannot share 3 shards evenly: --shards 4, or"
    ):
        join(3)
    check_shards(second_of_two, 4)


def test_a_process_that_has_joined_keeps_its_place(second_of_two, monkeypatch):
    module = sys.modules[join.__module__]
    monkeypatch.setattr(module, "_joined", [second_of_two])
    monkeypatch.setattr(module, "connect", lambda place: pytest.fail("connects once more"))
    assert join(2) == second_of_two
    monkeypatch.setenv("PROXIMAX_RANK", "0")
    with pytest.raises(UsageError, match="has already trained as rank 1 of 2"):
        join(2)


@pytest.mark.parametrize("error", [ValueError, jax.errors.JaxRuntimeError])
def test_the_loss_of_another_process_is_named_whatever_jax_raises_and_no_other_error_is(
    error, second_of_two, monkeypatch
):
    module = sys.modules[join.__module__]
    monkeypatch.setattr(module, "_joined", [second_of_two])
    monkeypatch.setattr(module, "_lost", [])
    with (
        pytest.raises(DistributedError, match=r"rank 1 of 2 lost another process: UNKNOWN: Gloo .* Saved until step-3"),
        others_needed("rank 1 of 2", lambda: "Saved until step-3"),
    ):
        raise error("UNKNOWN: Gloo AllGather failed: Connection reset by peer\nmore")
    with pytest.raises(error, match="another reason"), others_needed("rank 1 of 2", str):
        raise error("another reason")


def test_alone_nothing_is_joined_or_left(monkeypatch):
    monkeypatch.setenv("PROXIMAX_SIZE", "1")
    assert join(1) is None
    leave()


def test_how_long_the_start_waits(monkeypatch):
    monkeypatch.delenv("PROXIMAX_START_SECONDS", raising=False)
    assert start_seconds() == 60
    monkeypatch.setenv("PROXIMAX_START_SECONDS", "300")
    assert start_seconds() == 300
    for text in ("0", "-1", "soon", ""):
        monkeypatch.setenv("PROXIMAX_START_SECONDS", text)
        with pytest.raises(UsageError, match="must be a number of seconds"):
            start_seconds()


@pytest.mark.parametrize(
    ("coordinator", "bind", "listens"),
    [
        ("127.0.0.1:5", "", "127.0.0.1:5"),
        ("[::1]:5", "", "[::1]:5"),
        ("127.0.0.1:5", "0.0.0.0", "0.0.0.0:5"),
        ("127.0.0.1:5", "::", "[::]:5"),
    ],
)
def test_rank_0_listens_where_the_others_look_for_it_or_where_it_is_told(coordinator, bind, listens):
    assert listening_address(Place(0, 2, coordinator, bind=bind)) == listens


def test_the_address_of_this_machine_is_that_of_the_way_to_rank_0(second_of_two):
    assert own_address(second_of_two) == "127.0.0.1"
