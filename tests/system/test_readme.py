"""README's Python runs as it stands, and its two commands exist."""

import re

import pytest

from tests.support import ROOT


@pytest.mark.learning
@pytest.mark.optimised
@pytest.mark.slow
def test_the_python_block_runs_and_solves_cartpole(capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    assert len([line for line in blocks[0].splitlines() if line.strip()]) <= 10
    names = {}
    exec(compile(blocks[0], "README.md", "exec"), names)
    assert names["result"].stopped_by == "stop_at"
    assert names["action"] in (0, 1)
    assert "first action:" in capsys.readouterr().out


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
