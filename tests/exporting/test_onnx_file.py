"""ONNX files: what they hold, and files of strangers."""

import json

import pytest

from proximax.errors import CheckpointError
from proximax.exporting.onnx_file import METADATA, onnx_model, read_contents
from tests.support.exported_agents import agent

onnx = pytest.importorskip("onnx")


def test_only_the_memory_that_actions_depend_on_is_kept():
    _, contents = onnx_model(agent(network="lstm"), "action", {})
    assert [port.name for port in contents.inputs] == ["obs", "carry_in.0", "carry_in.1", "first"]
    assert [port.name for port in contents.outputs] == ["action", "carry_out.0", "carry_out.1"]


def test_the_batch_is_symbolic_and_the_graph_small():
    model, _ = onnx_model(agent(hidden=(8, 8)), "action", {})
    assert [x.type.tensor_type.shape.dim[0].dim_param for x in (*model.graph.input, *model.graph.output)] == [
        "batch"
    ] * 2
    assert {"Expand", "Shape", "Transpose"}.isdisjoint(node.op_type for node in model.graph.node)
    assert len(model.graph.node) < 20


def bytes_with(change):
    model, contents = onnx_model(agent(), "action", {"a": 1})
    onnx.helper.set_model_props(model, {METADATA: json.dumps(contents.about)})
    change(model)
    return model.SerializeToString()


def test_what_a_file_says_of_itself_is_read_back():
    contents = read_contents(bytes_with(lambda model: None), "a file")
    assert contents.about["a"] == 1
    assert contents.inputs[0].shape == (3,)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.ClearField("metadata_props"),
        lambda model: setattr(model.graph.initializer[0], "data_location", onnx.TensorProto.EXTERNAL),
        lambda model: model.opset_import.append(onnx.helper.make_opsetid("com.stranger", 1)),
        lambda model: model.metadata_props[0].__setattr__("value", '{"inputs": 3}'),
        lambda model: model.metadata_props[0].__setattr__("value", "[" * 10_000),
    ],
)
def test_files_of_strangers_are_refused(change):
    with pytest.raises(CheckpointError, match="a file"):
        read_contents(bytes_with(change), "a file")
