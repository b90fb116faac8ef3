"""The Markdown of a comparison, cell by cell."""

import pytest

from proximax.reports.tables import (
    Table,
    aggregate_table,
    improvement_table,
    latex,
    latex_text,
    score_table,
    with_interval,
)

RUN = {
    "label": "clip, lr 0.1", "returns": [1.0, 3.0], "mean": 2.0, "ci95": (1.0, 3.5), "iqm": 2.0, "steps": 20_480,
    "kl_percentiles": {"50": 0.0123, "95": None}, "stopped_by": "steps", "wall_s": 61.7,
}  # fmt: skip


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_run_is_a_row_of_as_many_cells_as_the_head():
    head, rule, row = score_table([RUN])
    assert len(cells(head)) == len(cells(rule)) == len(cells(row)) == 8
    assert cells(row) == ["clip, lr 0.1", "2", "2 (1 to 3.50)", "2", "1", "0.012 (n/a)", "20,480", "62 s"]


def test_what_a_run_does_not_have_is_not_made_up():
    unfinished = RUN | {"returns": [None, 3.0], "mean": None, "iqm": None, "stopped_by": "steps, diverged"}
    row = cells(score_table([unfinished])[2])
    assert row[2:5] == ["n/a", "n/a", "n/a"]  # the worst of two seeds is not that of the one that has a score
    assert row[6] == "20,480 (diverged)"


@pytest.mark.parametrize(
    ("value", "interval", "text"),
    [(None, None, "n/a"), (0.5, None, "0.50 (n/a)"), (0.5, (0.25, 0.75), "0.50 (0.25 to 0.75)")],
)
def test_a_number_stands_with_its_interval(value, interval, text):
    assert with_interval(value, interval, "{:.2f}".format) == text


def test_tables_over_environments_say_how_scores_are_normalised_and_which_is_better():
    aggregates = {"clip": {"iqm": {"value": 0.5, "ci95": (0.25, 0.75)}, "mean": {"value": 0.4, "ci95": None}}}
    normalisation = {"by": "reference scores", "bounds": {"X": (0, 10), "Y": (-1.5, 1e6)}}
    lines = aggregate_table({"normalisation": normalisation, "aggregates": aggregates})
    assert "Scores are normalised by reference scores: 0 and 1 are X 0 and 10, Y -1.5 and 1e+06." in lines
    assert [cells(line) for line in lines[-4:-1]] == [
        ["", "IQM", "mean"], ["---", "--:", "--:"], ["clip", "0.50 (0.25 to 0.75)", "0.40 (n/a)"]
    ]  # fmt: skip
    pairs = [{"x": "clip", "y": "trpo", "probability": 0.875, "ci95": (0.5, 1.0)}]
    assert cells(improvement_table(pairs)[-2]) == ["clip", "trpo", "0.88 (0.50 to 1.00)"]


def test_latex_is_a_plain_tabular_with_its_numbers_to_the_right():
    lines = latex(Table(("", "mean (95 %)"), [("clip_a & b", "2 (1 to 3)")]))
    assert lines == [
        r"\begin{tabular}{lr}", r"\hline", r" & mean (95 \%) \\", r"\hline",
        r"clip\_a \& b & 2 (1 to 3) \\", r"\hline", r"\end{tabular}",
    ]  # fmt: skip


def test_no_text_is_obeyed_by_latex():
    assert latex_text(r"P(X > Y) \input{x} $1 #2 ~^%") == (
        r"P(X $>$ Y) \textbackslash{}input\{x\} \$1 \#2 \textasciitilde{}\textasciicircum{}\%"
    )
