"""What Ray's workers and the command tell one another."""

from proximax.distributed import board as module
from proximax.distributed.board import Board


def test_the_first_exit_code_holds_and_a_signal_reaches_who_asks():
    board = Board()
    assert board.ask() == (None, 0)
    board.signal(15)
    board.end(3)
    board.end(2)
    assert board.code() == 3
    assert board.ask() == (3, 15)


def test_only_a_question_ends_the_silence(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module, "time", type("Clock", (), {"monotonic": lambda: now[0]}))
    board = Board()
    now[0] += 7
    board.code()
    assert board.silence() == 7
    board.ask()
    assert board.silence() == 0
