"""Policies that play in a real browser. Where there is no Chromium it is not tested."""

import base64
import functools
import http.server
import json
import threading

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import proximax
from proximax.config import PPOConfig, RunConfig
from proximax.exporting import onnx_text, zoo_file, zoo_names
from proximax.runs.checkpoint import save_checkpoint
from proximax.web import CANVASES, watch
from tests.support import ROOT
from tests.support.browser import Browser, chromium
from tests.support.exported_agents import agent
from tests.support.saved_runs import filled, header, save_run, snapshot

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(chromium() is None, reason="there is no Chromium: apt-get install chromium"),
]
OBS, ACTIONS = spaces.Box(-np.inf, np.inf, (4,), np.float32), spaces.Discrete(2)
CONFIG = RunConfig("CartPole-v1", seeds=3, seed=5, ppo=PPOConfig(hidden=(4,)))
ROWS = 200
ACT = """
(async () => {
  const { openSession } = await import("/static/play/onnx.js");
  const { file, observations } = %s, policy = await openSession(file), actions = [];
  for (const obs of observations) actions.push(await policy.act(obs));
  return JSON.stringify(actions);
})()
"""
SCORE = "Number(document.querySelector('.play-lane.{} .play-score').textContent)"
IS_PAINTED = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(x => x)"
PAINTED = f"[...document.querySelectorAll('canvas')].every({IS_PAINTED})"


@pytest.fixture(scope="module")
def browser():
    opened = Browser()
    yield opened
    opened.close()


@pytest.fixture
def page(tmp_path, browser):
    """A browser that looks at the only run's policy."""
    run = save_run(tmp_path / "runs" / "one", *filled(OBS, ACTIONS, CONFIG.ppo)[1:], OBS, ACTIONS, CONFIG)
    browser.problems.clear()
    with watch(run, port=0, quiet=True, in_thread=True) as watcher:
        browser.open(watcher.address)
        browser.wait_for("document.querySelector('#detail a.button:not([hidden])')")
        browser.value("document.querySelector('#detail a.button').click()")
        browser.wait_for("document.documentElement.dataset.engine")
        yield browser
        browser.call("Page.navigate", url="about:blank")
    assert browser.problems == []


@pytest.fixture(scope="module")
def modules(browser, tmp_path_factory):
    """A browser that may import the page's modules, and shows no run."""
    with watch(tmp_path_factory.mktemp("empty"), port=0, quiet=True, in_thread=True) as watcher:
        browser.open(f"{watcher.address}play")
        browser.wait_for("!document.getElementById('lost').hidden")  # there is no such run
        yield browser


def test_a_run_plays_and_a_person_beside_it(page):
    assert page.value("document.documentElement.dataset.engine") == "onnx"
    assert page.value("document.getElementById('name').textContent") == "one"
    page.wait_for(f"{SCORE.format('policy')} > 3 && {PAINTED}")
    assert page.value("document.querySelectorAll('#seed option').length") == 3
    page.value("document.querySelector('.play-take').click()")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
    page.wait_for("document.querySelector('.play-told').textContent.startsWith('You')")
    rows = "[...document.querySelectorAll('.play-table tbody tr')].map(x => x.cells[4].textContent)"
    page.wait_for(f"{rows}[1] === '1'")
    last = page.value("document.querySelectorAll('.play-table tbody tr')[1].cells[1].textContent")
    assert 8 <= int(last) <= 12  # pushed to one side all the time
    page.call("Input.dispatchKeyEvent", type="keyUp", key="ArrowRight")
    page.call("Input.dispatchKeyEvent", type="keyDown", key=" ")
    page.wait_for("document.querySelector('.play-cover').hidden")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="Escape")
    page.wait_for("document.querySelector('.play-take').textContent === 'Take the keyboard'")


def test_everything_that_can_be_used_has_a_name(page):
    page.wait_for("document.querySelector('.play-table td')")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    used = [node for node in nodes if node.get("role", {}).get("value") in ("button", "combobox", "link", "image")]
    assert len(used) > 7
    assert not [node for node in used if not node.get("name", {}).get("value")]


def test_a_newer_checkpoint_takes_over(page, tmp_path):
    params = filled(OBS, ACTIONS, CONFIG.ppo)[1:]
    page.wait_for("document.getElementById('which').textContent.includes(', 400 steps')")
    save_checkpoint(
        tmp_path / "runs" / "one" / "checkpoints", header(OBS, ACTIONS, CONFIG), snapshot(*params, update=9)
    )
    page.value("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for("document.getElementById('which').textContent.includes(', 900 steps')")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """`python -m http.server` that says nothing."""

    def log_message(self, format, *args):
        pass


def test_the_zoo_of_the_documentation_plays_from_any_server(browser):
    browser.problems.clear()
    handler = functools.partial(Quiet, directory=ROOT / "docs")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.open(f"http://127.0.0.1:{server.server_address[1]}/play/index.html")
        browser.wait_for("document.querySelectorAll('.play-choice button').length")
        for i in range(len(set(zoo_names()) & set(CANVASES))):
            browser.value(f"document.querySelectorAll('.play-choice button')[{i}].click()")
            browser.wait_for(f"/step [1-9]/.test(document.querySelector('.play-length').textContent) && {PAINTED}")
        browser.call("Page.navigate", url="about:blank")
        server.shutdown()
    assert browser.problems == []


@pytest.mark.parametrize("name", zoo_names())
def test_onnx_in_the_browser_acts_as_the_agent(name, modules):
    trained, env = proximax.load(f"zoo:{name}"), gymnasium.make(name)
    obs, rows = env.reset(seed=0)[0], []
    while len(rows) < ROWS:
        rows.append(obs)
        obs, _, terminated, truncated, _ = env.step(trained.act(obs))
        if terminated or truncated:
            obs = env.reset()[0]
    file = base64.b64encode(zoo_file(f"zoo:{name}").read_bytes()).decode()
    question = {"file": file, "observations": np.array(rows).astype(float).tolist()}
    actions = np.array(json.loads(modules.value(ACT % json.dumps(question))))
    expected = np.asarray(trained.act(np.array(rows))).reshape(ROWS, -1)
    np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("network", ["lstm", "mingru"])
def test_a_policy_with_memory_remembers_in_the_browser(network, modules):
    made, rows = agent(network=network, actions=spaces.Box(-2, 1, (2,))), np.random.default_rng(0).normal(size=(20, 3))
    question = {"file": onnx_text(made), "observations": rows.tolist()}
    actions = json.loads(modules.value(ACT % json.dumps(question)))
    for obs, action in zip(rows.astype(np.float32), actions):
        np.testing.assert_allclose(action, made.act(obs), rtol=1e-5, atol=1e-5)
