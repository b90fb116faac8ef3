"""The sections on results say what the comparison says."""

from proximax.reports.page.results import (
    curves_section,
    diagnostics_section,
    improvement_matrix,
    note,
    runs_section,
    scores_section,
    state_of,
    together_section,
)
from proximax.reports.tables import scores_of
from tests.support.finished_runs import HOSTILE


class NoPictures:
    """Stands for the figures, which take time to draw."""

    def figure(self, draw, description, caption=""):
        return f"[{description}]"

    def legend(self, styles, labels):
        return f"[{', '.join(dict.fromkeys(labels))}]"


def test_runs_are_listed_with_their_state_and_what_was_left_out_is_named(contents):
    body = runs_section(contents, NoPictures()).body
    states = {record.member.path.name: state_of(record) for record in contents.records}
    assert states["clip-0"] == "finished"
    assert states["more"] == f"not finished, 0%: {HOSTILE}"
    assert "Left out, as they cannot be read" in body
    assert "not a row of metrics" in body
    assert HOSTILE not in body


def test_the_table_of_scores_has_the_numbers_of_the_statistics(contents):
    body = scores_section(contents, NoPictures()).body
    for run in contents.comparison["runs"]:
        (cells,) = scores_of([run]).rows
        assert "".join(f'<td class="number">{cell}</td>' for cell in cells[1:]) in body
    assert "20 (-4.84 to 44.8)" in body  # 10, 20 and 30 by hand: 20 ± 4.303 * 10 / √3
    for seed, score in enumerate((10, 20, 30)):
        assert f'<td class="number">{seed}</td><td class="number">{score}</td>' in body


def test_the_comparison_has_what_there_is_enough_of(contents):
    body = together_section(contents, NoPictures()).body
    for title in ("Probability of improvement", "Performance profiles", "All environments"):
        assert title in body
    single = contents.comparison | {"improvement": [], "profiles": None, "aggregates": None}
    assert together_section(contents._replace(comparison=single), NoPictures()).body == ""


def test_many_pairs_are_a_matrix_whose_sure_cells_are_bold():
    pairs = [
        {"x": "a", "y": "b", "probability": 0.875, "ci95": (0.6, 1.0)},
        {"x": "c", "y": "a", "probability": 0.5, "ci95": None},
    ]
    table = improvement_matrix(pairs)
    assert table.head == ("", "1", "2", "3")
    assert table.rows == [
        ("1 a", "", "<b>0.88</b>", "<span>0.50</span>"), ("2 b", "<b>0.12</b>", "", ""),
        ("3 c", "<span>0.50</span>", "", ""),
    ]  # fmt: skip


def test_of_many_lines_none_has_a_band_and_nothing_says_so(contents):
    many = [curve | {"label": f"{curve['label']} {i}"} for curve in contents.curves for i in range(6)]
    few, none = (curves_section(contents._replace(curves=x), NoPictures()).body for x in (contents.curves, many))
    assert "Band:" in few
    assert "Band:" not in none


def test_without_updates_or_scores_the_report_says_so(contents):
    empty = contents._replace(curves=[], diagnostics=[], comparison=contents.comparison | {"runs": []})
    assert "No run has an update yet" in curves_section(empty, NoPictures()).body
    assert "No run has ended" in scores_section(empty, NoPictures()).body
    assert diagnostics_section(empty, NoPictures()).body == ""


def test_remarks_are_those_of_the_markdown_without_its_marks():
    assert note("*KL*: t s\\*") == '<p class="note">KL: t s*</p>'
