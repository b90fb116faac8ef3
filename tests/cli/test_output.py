"""What the commands print."""

from proximax.cli.output import mean_curve


def test_the_training_curve_is_the_mean_over_seeds():
    rows = [{"update": u, "seed": s, "return_last_100": x} for u, s, x in [(1, 0, None), (1, 1, 2.0)]]
    rows += [
        {"update": u, "seed": s, "return_last_100": x}
        for u, s, x in [(2, 0, 4.0), (2, 1, 8.0), (3, 0, 5.0), (3, 1, 9.0)]
    ]
    assert mean_curve(rows) == [6.0, 7.0]
