"""Programs traced at two batch sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from proximax.errors import UsageError
from proximax.exporting.tracing import BATCHES, needed_inputs, trace


def rows(batch):
    return (jax.ShapeDtypeStruct((batch, 3), np.float32),)


def test_sizes_that_follow_the_batch_are_known_and_calls_are_replaced_by_what_they_call():
    program = trace(jax.jit(lambda x: jnp.tanh(x).reshape(-1)), rows)
    assert [e.name for e in program.equations] == ["tanh", "reshape"]
    assert program.outputs[0].dims == ((3 * BATCHES[0], 3 * BATCHES[1]),)


def test_a_choice_by_platform_takes_the_default():
    program = trace(lambda x: lax.platform_dependent(x, cpu=jnp.sin, default=jnp.cos), rows)
    needed = needed_inputs(program, program.outputs)
    assert [e.name for e in program.equations if needed & set(e.outputs)] == ["cos"]


def test_a_loop_is_written_out():
    program = trace(lambda x: lax.scan(lambda c, y: (c + y, c), x[0], x[:3].T * 0 + x[0, 0])[0], lambda b: rows(3))
    assert "scan" not in {e.name for e in program.equations}


def test_numbers_that_the_batch_repeats_are_held_once():
    program = trace(lambda x: x + np.broadcast_to(np.arange(3, dtype=np.float32), x.shape), rows)
    (constant,) = (x for e in program.equations for x in e.inputs if x.value is not None)
    assert constant.value.shape == (1, 3)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x + np.arange(x.size, dtype=np.float32).reshape(x.shape), "every row of a batch"),
        (lambda x: jnp.tanh(x) if len(x) == BATCHES[0] else jnp.exp(x), "another batch size"),
        (lambda x: lax.scan(lambda c, _: (c + 1, None), x, None, length=1000)[0], "1000 steps"),
    ],
)
def test_what_no_file_can_hold_is_refused(function, message):
    with pytest.raises(UsageError, match=message):
        trace(function, rows)
