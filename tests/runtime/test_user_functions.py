"""Functions of the user: problems are reported with their names."""

import jax.numpy as jnp
import numpy as np
import pytest

from proximax.errors import EnvError, UsageError
from proximax.runtime.user_functions import call_user_function, kind_of


def test_what_a_function_raises_is_said_with_its_name_and_our_own_errors_pass():
    assert call_user_function("double", lambda x: 2 * x, 3) == 6
    with pytest.raises(UsageError, match="objective spo raised ZeroDivisionError"):
        call_user_function("objective spo", lambda x: 1 / x, 0)

    def fails():
        raise EnvError("mine")

    with pytest.raises(EnvError, match=r"^mine$"):
        call_user_function("hook", fails)


def test_what_was_given_is_called_by_its_shape_or_its_type():
    kinds = [kind_of(x) for x in (jnp.ones((2, 3)), np.float32(1), 2.0, (1, 2), None, "text")]
    assert kinds == ["shape (2, 3)", "shape ()", "shape ()", "type tuple of 2", "type NoneType", "type str"]
