"""The page in a real browser, against a server of its own. Where there is no Chromium it is not tested."""

import json
import os

import pytest

from proximax.web import run_list, watch
from tests.support.browser import Browser, chromium
from tests.support.watched_runs import row, text, watched_run

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(chromium() is None, reason="there is no Chromium: apt-get install chromium"),
]
HOSTILE = ["<img src=x onerror=alert(1)>", '"><script>alert(2)</script>', "javascript:alert(3)", "=cmd()", "a b;c"]
USED = ("button", "checkbox", "radio", "combobox", "searchbox")


@pytest.fixture(scope="module")
def browser():
    opened = Browser()
    yield opened
    opened.close()


@pytest.fixture
def page(tmp_path, browser, monkeypatch):
    """A browser that looks at an empty folder."""
    monkeypatch.setattr(run_list, "SECONDS", 0.1)
    browser.problems.clear()
    with watch(tmp_path / "runs", port=0, quiet=True, in_thread=True) as watcher:
        browser.open(watcher.address)
        browser.wait_for("!document.getElementById('empty').hidden")
        yield browser
        assert browser.problems == []
        browser.call("Page.navigate", url="about:blank")


def look(page):
    """Let the page ask at once instead of when it would."""
    page.value("document.dispatchEvent(new Event('visibilitychange'))")


def choose(page, place, value):
    """Set a control as a person would."""
    event = "new Event('change', {bubbles: true})"
    page.value(f"(x => {{ x.value = {value}; x.dispatchEvent({event}); }})({place})")


def test_a_run_that_starts_and_goes_on_appears_and_grows(page, tmp_path):
    run = watched_run(tmp_path / "runs" / "first", seeds=2)
    look(page)
    page.wait_for("document.querySelector('#main-chart canvas')")
    page.wait_for("document.querySelector('#detail .ratios')")
    assert page.value("document.querySelectorAll('#small-charts figure:not([hidden]) canvas').length") == 6
    page.wait_for("document.querySelector('#main-chart .value').textContent === '50.5'")
    with (run / "metrics.jsonl").open("a") as file:
        file.write(text([row(6, seed) for seed in (0, 1)]))
    page.wait_for("document.querySelector('#main-chart .value').textContent === '60.5'")
    page.wait_for("document.getElementById('runs').innerText.includes('60.5')")
    painted = "(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(x => x))"
    assert page.value(f"{painted}(document.querySelector('#main-chart canvas'))")
    run.rename(run.with_name("renamed"))
    look(page)
    page.wait_for("document.querySelector('#detail h2').textContent === 'renamed'")


def test_what_a_stranger_named_is_shown_and_never_obeyed(page, tmp_path):
    names = [name.replace("/", "\u2215") for name in HOSTILE]
    for i, name in enumerate(names):
        run = watched_run(tmp_path / "runs" / name, seeds=1, env_kwargs={name: name})
        (run / "error.log").write_text(f"{name}\n")
        os.utime(run / "metrics.jsonl", (1000 - i, 1000 - i))
    look(page)
    page.wait_for(f"document.querySelectorAll('#runs li').length === {len(names)}")
    shown = page.value("JSON.stringify([...document.querySelectorAll('#runs .look .name')].map(x => x.textContent))")
    assert json.loads(shown) == names
    page.wait_for("document.querySelector('#detail .settings td')")
    assert page.value("document.querySelector('#detail .lost').textContent") == names[0]
    assert page.value("document.images.length") == 1  # the icon
    assert page.value("[...document.scripts].every(x => x.src.startsWith(location.origin))")


def test_controls_change_what_is_shown(page, tmp_path):
    watched_run(tmp_path / "runs" / "one", seeds=2, ppo={"epsilon": 0.1})
    watched_run(tmp_path / "runs" / "two", seeds=2, finished=True)
    look(page)
    page.wait_for(
        "document.querySelectorAll('#runs li').length === 2 && document.querySelector('#detail .settings td')"
    )
    page.value("document.querySelector('#axis input[value=time]').click()")
    page.value("document.querySelector('#seeds input[value=each]').click()")
    choose(page, "document.getElementById('theme')", "'dark'")
    page.wait_for("getComputedStyle(document.body).backgroundColor === 'rgb(13, 16, 23)'")
    page.value("(x => { x.value = 'two'; x.dispatchEvent(new Event('input')); })(document.getElementById('find'))")
    page.wait_for("document.querySelectorAll('#runs li').length === 1")
    page.value("document.querySelector('#runs .look').click()")
    page.wait_for("document.querySelector('#detail h2').textContent === 'two'")
    choose(page, "document.querySelector('#detail .field select')", "x.options[1].value")
    page.wait_for("document.querySelector('#detail .settings').innerText.includes('ppo.epsilon')")
    assert page.value("document.querySelectorAll('#detail .settings tbody tr').length") == 1
    page.value("document.getElementById('none').click()")
    page.wait_for("document.querySelectorAll('#charts figure.chart:not([hidden])').length === 0")
    page.value("localStorage.clear()")


def test_a_server_that_ended_is_named_and_what_was_read_stays(tmp_path, browser):
    watched_run(tmp_path / "runs" / "one")
    browser.problems.clear()
    watcher = watch(tmp_path / "runs", port=0, quiet=True, in_thread=True)
    browser.open(watcher.address)
    browser.wait_for("document.querySelector('#main-chart canvas')")
    watcher.close()
    browser.wait_for("document.getElementById('status').textContent === 'disconnected'")
    assert browser.value("document.getElementById('lost').textContent").startswith("The server has ended")
    assert browser.value("document.querySelectorAll('#runs li').length") == 1
    browser.call("Page.navigate", url="about:blank")
    assert all("ERR_CONNECTION_REFUSED" in problem for problem in browser.problems)


def test_everything_that_can_be_used_has_a_name(page, tmp_path):
    watched_run(tmp_path / "runs" / "one")
    look(page)
    page.wait_for("document.querySelector('#detail .settings td')")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    used = [node for node in nodes if node.get("role", {}).get("value") in USED]
    assert len(used) > 10
    assert not [node for node in used if not node.get("name", {}).get("value")]
