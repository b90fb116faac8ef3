import json
import re

import numpy as np
import pytest
from gymnasium import spaces

import proximax
from proximax.config import PPOConfig, RunConfig
from proximax.reports.page import playing
from proximax.reports.page.contents import gather_contents
from proximax.reports.page.playing import play_section, player_of, score_of
from proximax.reports.page.writing import page_of
from proximax.web import EmbeddedPlayer
from tests.support.browser import Browser, chromium
from tests.support.finished_runs import HOSTILE, finished_run
from tests.support.saved_runs import filled, save_run

OBS, ACTIONS = spaces.Box(-np.inf, np.inf, (4,), np.float32), spaces.Discrete(2)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Two runs of one group and one of another, of which the last has no checkpoint."""
    folder = tmp_path_factory.mktemp("played")
    for name, returns, gamma in (("low", [1.0, 2.0, 3.0], 0.9), ("high", [4.0, None, 9.0], 0.9), ("none", [5.0], 0.8)):
        seed = {"low": 0, "high": 5, "none": 0}[name]
        finished_run(folder / name, returns, "CartPole-v1", seed=seed, ppo={"hidden": (4,), "gamma": gamma})
        if name != "none":
            config = RunConfig("CartPole-v1", seeds=3, seed=seed, ppo=PPOConfig(hidden=(4,), gamma=gamma))
            result = (folder / name / "result.json").read_text()
            save_run(folder / name, *filled(OBS, ACTIONS, config.ppo)[1:], OBS, ACTIONS, config)
            (folder / name / "result.json").write_text(result)
    return folder


@pytest.fixture(scope="module")
def said(played):
    return gather_contents([played])


def values_of(markup):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', markup)[1])


def test_the_best_run_of_each_group_plays(said):
    (policy,) = values_of(player_of(said).markup)
    assert (policy["env"], policy["title"]) == ("CartPole-v1", "clip (gamma=0.9)")
    assert policy["about"].endswith("high, final return 9")


def test_runs_without_a_canvas_or_too_large_have_no_section(contents, said, monkeypatch):
    assert player_of(contents) == EmbeddedPlayer()
    assert play_section(EmbeddedPlayer()).body == ""
    monkeypatch.setattr(playing, "LONGEST", 10)
    assert player_of(said) == EmbeddedPlayer()


def test_at_most_so_many_play(said, monkeypatch):
    monkeypatch.setattr(playing, "MOST", 0)
    assert player_of(said).script == ""


def test_the_score_is_that_of_the_best_seed(said):
    scores = {record.member.path.name: score_of(record) for record in said.records}
    assert scores == {"low": 3.0, "high": 9.0, "none": 5.0}
    assert score_of(said.records[0]._replace(result=None)) == float("-inf")


@pytest.mark.slow
def test_names_are_text_in_it(said):
    groups = [group._replace(label=HOSTILE) for group in said.groups]
    page = page_of(said._replace(groups=groups))
    assert values_of(page)[0]["title"] == HOSTILE
    assert HOSTILE not in page
    assert page.count("<script") == page.count("</script>") == 2


@pytest.mark.process
@pytest.mark.skipif(chromium() is None, reason="there is no Chromium: apt-get install chromium")
def test_it_plays_from_disk_without_a_complaint(played, tmp_path):
    path, browser = proximax.report([played], tmp_path / "report.html"), Browser()
    try:
        browser.open(path.as_uri())
        browser.wait_for("Number(document.querySelector('#play .play-score').textContent) > 2")
        assert browser.problems == []
    finally:
        browser.close()
