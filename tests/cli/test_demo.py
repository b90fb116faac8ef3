import json
from pathlib import Path

import pytest

from proximax.cli import demo
from proximax.cli.dispatch import main
from proximax.errors import DependencyError


class Page:
    """A page that notes what is done to it."""

    address = "http://127.0.0.1:1/"

    def __init__(self):
        self.closed = self.waited = False

    def wait(self):
        self.waited = True
        raise KeyboardInterrupt

    def close(self):
        self.closed = True


def missing():
    raise DependencyError("no Starlette")


def test_each_demo_has_a_directory_of_its_own(tmp_path):
    first = demo.new_directory(tmp_path)
    first.mkdir()
    second = demo.new_directory(tmp_path)
    assert (first.name, second.name) == ("demo-CartPole-v1", "demo-CartPole-v1-2")


def test_without_the_extra_it_says_how_to_install_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(demo, "require_server", missing)
    assert demo.open_page(tmp_path, True) is None
    assert 'pip install "proximax[watch]"' in capsys.readouterr().err


@pytest.mark.parametrize(("browser", "display", "opened"), [(True, ":0", 1), (False, ":0", 0), (True, "", 0)])
def test_a_browser_is_opened_where_there_is_a_screen(browser, display, opened, monkeypatch, tmp_path):
    addresses = []
    monkeypatch.setattr(demo, "require_server", lambda: None)
    monkeypatch.setattr(demo, "watch", lambda run: Page())
    monkeypatch.setattr(demo.sys, "platform", "linux")
    monkeypatch.setattr(demo.webbrowser, "open", addresses.append)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert demo.open_page(tmp_path, browser).address == Page.address
    assert addresses == [Page.address] * opened


@pytest.mark.parametrize("is_tty", [True, False])
def test_the_page_stays_in_a_terminal_until_ctrl_c(is_tty, monkeypatch, capsys, tmp_path):
    page = Page()
    monkeypatch.setattr(demo, "train", lambda env, **how: None)
    monkeypatch.setattr(demo, "summary", lambda result, run, watcher: f"{watcher is page}")
    monkeypatch.setattr(demo, "open_page", lambda run, browser: page)
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(getattr(demo.sys, name), "isatty", lambda: is_tty)
    demo.run_demo(demo.Demo(tmp_path))
    assert f"\n{is_tty}\n" in capsys.readouterr().out
    assert (page.waited, page.closed) == (is_tty, True)


@pytest.mark.learning
def test_it_trains_until_solved_and_says_what_is_next(monkeypatch, capsys, tmp_path):
    page = Page()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "SOLVED", 150.0)  # that it can be solved is seen elsewhere
    monkeypatch.setattr(demo, "open_page", lambda run, browser: page)
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "solved in" in out
    assert "not solved" not in out
    assert "proximax eval runs/demo-CartPole-v1" in out
    assert "proximax watch" in out
    assert Page.address not in out  # the page has ended with the command
    assert json.loads(Path("runs/demo-CartPole-v1/result.json").read_text())["return_mean"] >= demo.SOLVED
    assert page.closed
