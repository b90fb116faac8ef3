"""Every so many steps: after the first update at or beyond each multiple, whoever asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proximax.runs.schedule import Every

STEPS, BATCH = st.integers(1, 10**15), st.integers(1, 10**9)


def due(every, updates):
    return [update for update in range(updates) if every.due(update)]


@pytest.mark.parametrize(
    ("steps", "batch", "updates"),
    [
        (3000, 2048, [2, 3, 5, 6, 8, 9]),  # 4,096 and 6,144 steps pass 3,000 and 6,000
        (4096, 2048, [2, 4, 6, 8]),
        (2048, 2048, [*range(1, 10)]),
        (1, 2048, [*range(1, 10)]),  # not more often than there are updates
        (7000, 2048, [4, 7]),
        (10**9, 2048, []),
    ],
)
def test_due_after_the_first_update_at_or_beyond_each_multiple(steps, batch, updates):
    assert due(Every(steps, batch), 10) == updates


@given(STEPS, BATCH, st.integers(0, 10**9))
def test_the_next_update_is_the_first_that_is_due(steps, batch, update):
    every = Every(steps, batch)
    following = every.next_update(update)
    assert following > update
    assert every.due(following)
    assert following * batch // steps > update * batch // steps  # a multiple is passed by then,
    assert (following - 1) * batch // steps == update * batch // steps  # and none before


@given(st.integers(1, 10**6), BATCH, st.integers(0, 10**9))
def test_where_whole_updates_make_the_steps_it_is_every_so_many_updates(whole, batch, update):
    every = Every(whole * batch, batch)
    assert every.due(update) == (update > 0 and update % whole == 0)
    assert every.next_update(update) == update - update % whole + whole


@pytest.mark.parametrize(("times", "updates", "count"), [(10, 100, 10), (10, 25, 10), (10, 3, 3), (20, 1, 1)])
def test_a_share_of_a_run_is_due_so_often_and_at_its_end(times, updates, count):
    found = due(Every.share(times, updates), updates + 1)
    assert len(found) == count
    assert found[-1] == updates
