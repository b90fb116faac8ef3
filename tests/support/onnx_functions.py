"""A JAX function as an ONNX model, run beside it."""

import jax
import numpy as np

from proximax.exporting.graph import Graph
from proximax.exporting.sessions import session
from proximax.exporting.tracing import trace
from proximax.exporting.translation import translate


def graph_of(function, arrays):
    """The finished graph of ``function(*arrays)`` and its model, for batches of any size."""

    def example(batch):
        return tuple(jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype) for x in arrays)

    program, graph = trace(function, example), Graph()
    inputs = {x: graph.add_input(f"x{i}", x.dims, x.dtype) for i, x in enumerate(program.inputs)}
    tensors = translate(graph, program, inputs, program.outputs)
    outputs = [(f"y{i}", t, x.dims, x.dtype) for i, (t, x) in enumerate(zip(tensors, program.outputs))]
    return graph, graph.model(outputs)


def operators(function, *arrays):
    """The operators of a function's graph, without those that only name its outputs."""
    return [node.op_type for node in graph_of(function, arrays)[0].nodes if node.op_type != "Identity"]


def assert_same(function, *arrays, tolerance=1e-6):
    """The file gives what the function does, for as many rows as there are and for one."""
    _, model = graph_of(function, arrays)
    run = session(model.SerializeToString(), "a test")
    for rows in (len(arrays[0]), 1):
        parts = [x[:rows] for x in arrays]
        expected = jax.tree.leaves(jax.jit(function)(*parts))
        given = run({f"x{i}": x for i, x in enumerate(parts)})
        for i, y in enumerate(expected):
            np.testing.assert_allclose(given[f"y{i}"], np.asarray(y), rtol=tolerance, atol=tolerance)
            assert given[f"y{i}"].shape == y.shape
