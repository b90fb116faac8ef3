import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from proximax.config import PPOConfig, RunConfig
from proximax.web import embedding
from proximax.web.embedding import (
    EmbeddedPlayer,
    PlayedPolicy,
    beside,
    bundle,
    embedded_player,
    include,
    played_policy,
    player_page,
)
from tests.support import ROOT
from tests.support.saved_runs import filled, save_run

OBS, ACTIONS = spaces.Box(-np.inf, np.inf, (4,), np.float32), spaces.Discrete(2)
CONFIG = RunConfig("CartPole-v1", seeds=3, seed=5, ppo=PPOConfig(hidden=(4,)))
HOSTILE = "</script><script>alert(1)</script>"


def run(path, config=CONFIG):
    return save_run(path, *filled(OBS, ACTIONS, config.ppo)[1:], OBS, ACTIONS, config)


def test_the_policy_of_a_run_to_be_played(tmp_path):
    policy = played_policy(run(tmp_path / "a"), "a", "mean 3")
    assert (policy.env, policy.title, policy.about) == ("CartPole-v1", "a", "mean 3")
    assert policy.weights["about"]["kind"] == "choices"
    hidden = RunConfig("CartPole-v1", seeds=3, seed=5, hide_velocities=True, ppo=CONFIG.ppo)
    assert played_policy(run(tmp_path / "b", hidden), "b") is None


def test_a_piece_of_a_page_needs_nothing_else_and_obeys_no_text():
    player = embedded_player([PlayedPolicy("CartPole-v1", HOSTILE, HOSTILE, {"about": {}, "arrays": {}})])
    assert player.markup.count("<script") == player.markup.count("</script>") == 1
    values = re.search(r'<script type="application/json">(.*?)</script>', player.markup)[1]
    assert json.loads(values)[0]["title"] == HOSTILE
    assert "</script" not in player.script
    for text in player:
        assert not re.search(r"https?://(?!www\.w3\.org)|^import |^export ", text, re.MULTILINE)
    assert sum(map(len, player)) < 60_000


def test_without_policies_there_is_nothing():
    assert embedded_player([]) == ("", "", "")
    assert embedded_player([PlayedPolicy("Pong-v5", "a", "", {})]) == EmbeddedPlayer()


def test_a_whole_page():
    text = player_page([], "<Title>", "<p>It plays.</p>")
    assert text.startswith("<!doctype html>")
    assert text.count("&lt;Title&gt;") == 2
    assert "<p>It plays.</p>" in text


def test_a_bundle_has_each_module_once_after_those_that_it_imports():
    text = bundle("play/embedded.js")
    names = re.findall(r"^const (module_\w+) = ", text, re.MULTILINE)
    assert names[-1] == "module_play_embedded"
    assert len(names) == len(set(names)) >= 10
    for name in names:
        uses = [match.start() for match in re.finditer(rf"= {name};", text)]
        assert all(use > text.index(f"const {name} = ") for use in uses)


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [("play/a.js", "./b.js", "play/b.js"), ("play/a.js", "../b.js", "b.js"), ("a.js", "./play/b.js", "play/b.js")],
)
def test_where_an_import_leads(name, source, expected):
    assert beside(name, source) == expected


def test_a_module_of_another_form_is_refused(monkeypatch):
    monkeypatch.setattr(embedding, "page_file", lambda name: 'import x from "./y.js";\n')
    with pytest.raises(ValueError, match="another form"):
        include("play/a.js", {})


def test_every_module_of_the_page_is_installed():
    folder = Path(embedding.__file__).parent / "page" / "play"
    assert {path.suffix for path in folder.iterdir()} == {".js", ".css"}


def test_the_page_of_the_documentation_is_up_to_date():
    page = runpy.run_path(str(ROOT / "tools" / "make_play.py"))["page"]()
    assert page == (ROOT / "docs" / "play" / "index.html").read_text(), "run: make play"
