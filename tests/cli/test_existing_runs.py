"""The commands about runs that exist, from the arguments to the exit code."""

import pytest

from proximax.cli.dispatch import main
from tests.support.finished_runs import finished_run


@pytest.fixture
def asked(monkeypatch):
    """What ``report`` was asked for; it writes nothing."""
    calls = []

    def write(runs, out, **options):
        calls.append((runs, out, options))
        return out

    monkeypatch.setattr("proximax.cli.existing_runs.write_report", write)
    return calls


def test_report_takes_runs_labels_a_place_for_files_and_references(asked, capsys):
    line = ["report", "a", "mine=b", "-o", "x.html", "--files", "beside", "--references", "X=0,1"]
    assert main(line) == 0
    ((runs, out, options),) = asked
    assert (runs, str(out)) == ({None: ["a"], "mine": ["b"]}, "x.html")
    assert (str(options["files"]), options["references"]) == ("beside", {"X": (0.0, 1.0)})
    assert capsys.readouterr().out == "saved in x.html; figures and tables in beside\n"
    assert main(["report", "a"]) == 0
    assert str(asked[-1][1]) == "report.html"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["report"], 2, "runs"),
        (["report", "{run}", "--out", "x.txt"], 2, "must end in .html"),
        (["report", "{run}", "--references", "X"], 2, "write ENV=LOW,HIGH"),
        (["report", "missing"], 4, "missing is not a run directory"),
        (["report", "{run}", "--out", "no-folder/x.html"], 5, "cannot write to no-folder/x.html"),
    ],
)
def test_what_report_cannot_do_has_its_exit_code(arguments, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("proximax.reports.page.writing.page_of", lambda contents: "")
    run = finished_run(tmp_path / "run", [1.0, 2.0])
    try:
        ended = main([argument.format(run=run) for argument in arguments])
    except SystemExit as error:
        ended = error.code
    assert ended == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("x.*"))
