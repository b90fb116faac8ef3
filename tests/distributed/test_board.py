"""What Ray's workers and the command tell one another."""

from types import SimpleNamespace

from proximax.distributed import board as module
from proximax.distributed.board import ERR, LOST, OUT, WARNING, Board


def test_the_first_exit_code_holds_and_a_signal_reaches_who_asks():
    board = Board()
    assert board.ask() == (None, 0)
    board.signal(15)
    board.end(3)
    board.end(2)
    assert board.code() == 3
    assert board.begin() == board.ask() == (3, 15)


def test_only_a_question_ends_the_silence(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    board = Board()
    now[0] += 7
    board.tell(OUT, "text")
    assert board.look() == (7.0, [(OUT, "text")])
    board.ask()
    assert board.look() == (0.0, [])


def test_of_the_failures_of_one_start_the_first_is_heard_and_a_start_without_one_says_why():
    board = Board()
    board.begin()
    for text in "rank 1 was killed", "rank 0 lost it":
        board.tell(WARNING, text)
    board.tell(ERR, "last words")
    board.begin()
    board.begin()
    assert board.look()[1] == [(WARNING, "rank 1 was killed"), (ERR, "last words"), (WARNING, LOST)]
