"""How many updates a call makes."""

from proximax.profiling.chunk_sizer import ChunkSizer


def test_the_first_call_makes_one_update_and_the_pace_then_grows():
    pace = ChunkSizer()
    assert pace.next(100) == 1
    assert pace.next(100) == 4  # fast, but at most four times as many as before
    assert pace.next(3) == 3
    assert pace.next(10**9) == 12
