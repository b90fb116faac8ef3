"""How figures look and are written: colours, formats, and that nothing of the user's settings counts."""

import sys

import matplotlib
import pytest

from proximax.errors import DependencyError, StorageError, UsageError
from proximax.reports.figures import COLOURS, check_formats, drawing, line_styles, require_matplotlib, save, scale_of


def labelled(*algos):
    return [{"label": f"{algo} {i}", "algo": algo} for i, algo in enumerate(algos)]


def test_an_algorithm_keeps_its_colour_and_labels_of_one_algorithm_are_told_apart():
    styles = line_styles(labelled("clip", "trpo"))
    assert styles == {"clip 0": (COLOURS["clip"], "-"), "trpo 1": (COLOURS["trpo"], "-")}
    for n in (3, 8, 20):
        assert len(set(line_styles(labelled(*["clip"] * n)).values())) == n
    assert len(set(line_styles(labelled("clip", "custom:a", "custom:b")).values())) == 3
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_without_matplotlib_the_line_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DependencyError, match=r'pip install "proximax\[plots\]"'):
        require_matplotlib()


def test_formats_are_a_list_of_known_endings():
    assert check_formats(["PNG", "svg", "png"]) == ["png", "svg"]
    for wrong in ("png", [], ["jpg"], [7], None):
        with pytest.raises(UsageError, match=r"formats = .*must be a list of png, pdf, svg"):
            check_formats(wrong)


def test_the_users_settings_are_neither_used_nor_changed(tmp_path):
    def write(path):
        with drawing(2, 2) as figure:
            figure.subplots().plot([1, 2], label="x_$2$")
            save(figure, [path])
        return path.read_bytes()

    plain, backend = write(tmp_path / "a.svg"), matplotlib.get_backend()
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 20, "svg.hashsalt": None}):
        assert write(tmp_path / "b.svg") == plain
        assert matplotlib.rcParams["font.size"] == 20
    assert matplotlib.get_backend() == backend


@pytest.mark.fault(24)
def test_a_figure_that_cannot_be_written_is_named(tmp_path):
    with drawing(2, 2) as figure, pytest.raises(StorageError, match=r"cannot write to .*missing/a\.png"):
        save(figure, [tmp_path / "missing" / "a.png"])


def test_axes_of_steps_have_the_unit_that_fits():
    assert [scale_of(last) for last in (640, 50_000, 1e6)] == [
        (1.0, "environment steps"),
        (1e3, "environment steps (thousands)"),
        (1e6, "environment steps (millions)"),
    ]
