"""``--device``: where a command computes."""

import jax
import pytest

from proximax.cli.device import use_device
from proximax.errors import DependencyError


def test_a_device_that_is_there_is_used_and_one_that_is_not_is_an_error():
    before = jax.config.jax_platforms
    try:
        use_device("auto")
        assert jax.config.jax_platforms == before
        use_device("cpu")
        assert jax.config.jax_platforms == "cpu"
        with pytest.raises(DependencyError, match=r"jax\[cuda13\]"):
            use_device("gpu")
    finally:
        jax.config.update("jax_platforms", before)
