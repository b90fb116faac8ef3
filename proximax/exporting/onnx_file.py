"""A policy as one ONNX model, and such a file's contents."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from proximax.errors import CheckpointError
from proximax.exporting.contract import CARRY_IN, CARRY_OUT, FIRST, Output, Port, signature
from proximax.exporting.graph import Graph, require_onnx
from proximax.exporting.tracing import Trace, Variable, needed_inputs, trace
from proximax.exporting.translation import translate
from proximax.policy import Agent

METADATA = "proximax"  # under which a file says what it holds


class Contents(NamedTuple):
    """What a file says of itself: its inputs and outputs, and the metadata that ``export`` gave it."""

    inputs: list[Port]
    outputs: list[Port]
    about: dict[str, Any]


def onnx_model(agent: Agent, output: Output, about: dict[str, Any]) -> tuple[Any, Contents]:
    """The model of an agent's policy; ``about``: plain JSON values to keep in it."""
    signed = signature(agent)
    program = trace(signed.function, lambda batch: example(signed.observations, signed.carry, batch))
    observed, remembered = len(signed.observations), len(signed.carry)
    obs_in, carry_in = program.inputs[:observed], program.inputs[observed : observed + remembered]
    count, parameters = len(signed.actions), len(signed.parameters)
    results = program.outputs[: count + (parameters if output == "parameters" else 0)]
    carry_out = program.outputs[count + parameters :]
    kept = needed_carry(program, results, carry_in, carry_out)
    memory = [signed.carry[i]._replace(name=f"{CARRY_IN}.{rank}") for rank, i in enumerate(kept)]
    inputs = [*signed.observations, *memory, *([Port(FIRST, (), "bool")] if memory else [])]
    variables = [*obs_in, *(carry_in[i] for i in kept), *([program.inputs[-1]] if memory else [])]
    graph = Graph()
    tensors = {
        variable: graph.add_input(port.name, variable.dims, port.dtype) for port, variable in zip(inputs, variables)
    }
    after = [port._replace(name=port.name.replace(CARRY_IN, CARRY_OUT)) for port in memory]
    ports = [*[*signed.actions, *signed.parameters][: len(results)], *after]
    wanted = [*results, *(carry_out[i] for i in kept)]
    outputs = [
        (port.name, tensor, variable.dims, port.dtype)
        for port, tensor, variable in zip(ports, translate(graph, program, tensors, wanted), wanted)
    ]
    contents = Contents(inputs, ports, about | {"inputs": described(inputs), "outputs": described(ports)})
    return graph.model(outputs), contents


def model_bytes(model: Any, about: dict[str, Any]) -> bytes:
    """The file's content, with what it says of itself."""
    require_onnx().helper.set_model_props(model, {METADATA: json.dumps(about, allow_nan=False)})
    return model.SerializeToString()


def example(observations: Sequence[Port], carry: Sequence[Port], batch: int) -> tuple[Any, ...]:
    """The shapes of a policy's inputs for so many rows."""
    first = jax.ShapeDtypeStruct((batch,), bool)
    return [port.example(batch) for port in observations], [port.example(batch) for port in carry], first


def needed_carry(
    program: Trace, results: list[Variable], carry_in: list[Variable], carry_out: list[Variable]
) -> list[int]:
    """Which arrays of the memory the results depend on, now or at a later step."""
    kept: list[int] = []
    while True:
        needed = needed_inputs(program, [*results, *(carry_out[i] for i in kept)])
        more = [i for i, x in enumerate(carry_in) if x in needed]
        if more == kept:
            return kept
        kept = more


def described(ports: Sequence[Port]) -> list[dict[str, Any]]:
    """Inputs or outputs as plain JSON values."""
    return [{"name": port.name, "shape": list(port.shape), "dtype": port.dtype} for port in ports]


def ports_of(values: Any) -> list[Port]:
    """The inverse of ``described``."""
    return [Port(str(x["name"]), tuple(int(n) for n in x["shape"]), np.dtype(x["dtype"]).name) for x in values]


def check_closed(onnx: Any, model: Any) -> None:
    """Refuse a model that leads to other files, or runs what is not ONNX's: this one may be anybody's."""
    if any(x.data_location == onnx.TensorProto.EXTERNAL for x in model.graph.initializer):
        raise ValueError("its numbers are in other files")
    if {entry.domain for entry in model.opset_import} - {"", "ai.onnx"} or model.functions:
        raise ValueError("it has operators of its own")
    if any(attribute.HasField(kind) for node in model.graph.node for attribute in node.attribute for kind in "gt"):
        raise ValueError("it has graphs or numbers inside nodes")


def read_contents(data: bytes, where: Path) -> Contents:
    """What the content of an exported file says of itself. Raises ``CheckpointError`` for any other file."""
    onnx = require_onnx()
    try:
        model = onnx.load_model_from_string(data)
        check_closed(onnx, model)
        values = {entry.key: entry.value for entry in model.metadata_props}
        about = json.loads(values[METADATA])
        return Contents(ports_of(about["inputs"]), ports_of(about["outputs"]), about)
    except KeyError as error:
        raise CheckpointError(f"{where} was not written by proximax.export: {error} is missing in it") from error
    except Exception as error:  # of a parser: it raises several kinds
        raise CheckpointError(f"{where} cannot be read as an exported policy: {error}") from error
