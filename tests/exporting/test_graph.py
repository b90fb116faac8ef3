"""The graph under construction."""

import builtins

import numpy as np
import pytest

from proximax.errors import DependencyError, UsageError
from proximax.exporting.graph import IR, OPSET, Graph, require_onnx

onnx = pytest.importorskip("onnx")


def test_equal_constants_are_one_and_sizes_come_from_the_batch():
    graph = Graph()
    x = graph.add_input("obs", ((5, 7), (3, 3)), np.float32)
    assert graph.name_of(np.ones(2)) == graph.name_of(np.ones(2)) != graph.name_of(np.zeros(2))
    whole = graph.whole(graph.reshape(x, ((15, 21),)), ((15, 21),))
    model = graph.model([("y", whole, whole.dims, np.float32)])
    onnx.checker.check_model(model)
    assert (model.ir_version, model.opset_import[0].version) == (IR, OPSET)
    assert [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == ["batch", 3]


def test_a_size_that_is_no_multiple_of_the_batch_is_refused():
    graph = Graph()
    x = graph.add_input("obs", ((5, 7),), np.float32)
    with pytest.raises(UsageError, match="not a multiple"):
        graph.expand(x, ((5, 7), (5, 8)))


def test_without_onnx_the_error_names_the_extra(monkeypatch):
    importing = builtins.__import__

    def missing(name, *arguments):
        if name.startswith("onnx"):
            raise ImportError(name)
        return importing(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(DependencyError, match=r'pip install "proximax\[export\]"'):
        require_onnx()
