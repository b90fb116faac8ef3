"""What a result says of itself."""

from pathlib import Path

import numpy as np
import pytest

from proximax.config import RunConfig
from proximax.evaluation import Evaluation
from proximax.training import Result


def result_of(returns, directory=None, history=()):
    evaluation = Evaluation(np.array(returns, float), np.ones(np.shape(returns), int), tuple(range(len(returns))))
    config = RunConfig("gymnasium:CartPole-v1", seeds=len(returns))
    return Result(config, [], evaluation, list(history), 2048, 1.0, 1.0, 1.0, "steps", [], directory=directory)


def test_its_repr_is_one_line_however_long_the_history():
    one = result_of([[20.0, 30.0]], history=[{"update": i} for i in range(1000)])
    assert repr(one) == "Result(CartPole-v1, clip, 1 seed, 2,048 steps, mean return 25, not saved)"
    two = result_of([[20.0], [30.0]], Path("runs/a"))
    expected = "Result(CartPole-v1, clip, 2 seeds, 2,048 steps, mean return 25 (95 % -38.5 to 88.5), in runs/a)"
    assert repr(two) == expected
    assert "mean return n/a," in repr(result_of([[np.nan]]))


def test_names_of_other_libraries_are_answered():
    with pytest.raises(
        AttributeError, match="a Result has no attribute 'model': agent is the policy of the first seed"
    ):
        result_of([[1.0]]).model  # noqa: B018
