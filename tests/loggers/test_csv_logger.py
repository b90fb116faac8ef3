"""metrics.csv and evaluations.csv, read back by the standard library."""

import csv
import json
import logging

from proximax.loggers.base import LoggedRun
from proximax.loggers.csv_logger import EVALUATIONS, FILE, CsvLogger
from tests.support.metric_rows import CONFIG, rows


def table(folder, name=FILE):
    """The lines of a file, each a dict."""
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_number_of_every_row_is_there_with_all_its_digits_and_null_is_empty(tmp_path):
    log = CsvLogger(LoggedRun(CONFIG, tmp_path))
    log.write(rows(1, score=None, ratio_histogram=[1, 2]))
    log.write(rows(2, score=0.1 + 0.2))
    log.close()
    lines = table(tmp_path)
    assert [(line["update"], line["seed"], line["steps"]) for line in lines] == [
        *(("1", "3", "8"), ("1", "4", "8"), ("2", "3", "16"), ("2", "4", "16"))
    ]
    assert lines[0]["return_last_100"] == ""
    assert float(lines[2]["return_last_100"]) == 0.1 + 0.2
    assert float(lines[0]["kl"]) == 3e-5
    assert "ratio_histogram" not in lines[0]


def test_the_file_of_a_resumed_run_has_the_rows_of_its_metrics_and_no_other(tmp_path):
    first = CsvLogger(LoggedRun(CONFIG, tmp_path))
    for update in (1, 2, 3):  # the last is beyond the checkpoint
        first.write(rows(update))
    first.close()
    again = CsvLogger(LoggedRun(CONFIG, tmp_path, rows=[*rows(1), *rows(2)], steps=[16, 16]))
    again.write(rows(3, score=7.0))
    again.close()
    lines = table(tmp_path)
    assert [line["update"] for line in lines] == ["1", "1", "2", "2", "3", "3"]
    assert {line["return_last_100"] for line in lines[4:]} == {"7.0"}


def evaluation(update, returns):
    names = ("update", "seed", "steps", "return_mean", "episodes")
    return [dict(zip(names, (update, seed, 8 * update, x, 10))) for seed, x in zip((3, 4), returns)]


def test_evaluations_have_a_file_of_their_own_and_of_a_resumed_run_those_before_the_checkpoint(tmp_path):
    log = CsvLogger(LoggedRun(CONFIG, tmp_path))
    log.write_evaluation(evaluation(1, (1.5, None)), final=False)
    log.write_evaluation(evaluation(2, (3.0, 4.0)), final=True)
    log.close()
    lines = [list(line.values()) for line in table(tmp_path, EVALUATIONS)]
    assert lines[:2] == [["1", "3", "8", "1.5", "10", "0"], ["1", "4", "8", "", "10", "0"]]
    assert [line[-1] for line in lines] == ["0", "0", "1", "1"]
    (tmp_path / "evaluations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in evaluation(1, (1.5, None))))
    again = CsvLogger(LoggedRun(CONFIG, tmp_path, steps=[8, 8]))
    again.write_evaluation(evaluation(2, (5.0, 6.0)), final=True)
    again.close()
    assert [line["return_mean"] for line in table(tmp_path, EVALUATIONS)] == ["1.5", "", "5.0", "6.0"]


def test_a_full_disk_ends_the_file_with_a_warning_and_nothing_else(tmp_path, monkeypatch, caplog):
    log = CsvLogger(LoggedRun(CONFIG, tmp_path))
    log.write(rows(1))

    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    log._metrics._file.close()
    monkeypatch.setattr(log._metrics, "_file", Full())
    with caplog.at_level(logging.WARNING, logger="proximax"):
        log.write(rows(2))
        log.write(rows(3))
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / FILE}: No space left on device; no more is written to it"
    ]
    assert len(table(tmp_path)) == 2
    log.close()
