"""Which group a metric is in."""

from proximax.loggers.base import ROLLOUT_METRICS, TIME_METRICS, group_of
from proximax.runs import METRICS


def test_every_metric_has_a_group_and_no_group_a_metric_that_does_not_exist():
    assert {*ROLLOUT_METRICS, *TIME_METRICS} <= set(METRICS)
    groups = {group: [name for name in METRICS if group_of(name) == group] for group in ("rollout", "train", "time")}
    assert groups["time"] == ["update", "steps", "time_s"]
    assert {"episode_return", "return_last_100", "truncations"} <= set(groups["rollout"])
    assert {"kl", "value_loss", "learning_rate", "policy_objective", "ratio_histogram"} <= set(groups["train"])
