"""From a traced program to an ONNX graph: one rule per primitive of JAX, constants computed beforehand."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import jax.numpy as jnp
import numpy as np

from proximax.errors import UsageError
from proximax.exporting.elementwise import ELEMENTWISE
from proximax.exporting.graph import Graph, Tensor, constant, is_fixed
from proximax.exporting.layout import LAYOUT
from proximax.exporting.products import PRODUCTS
from proximax.exporting.tracing import Equation, Trace, Variable, needed_inputs

RULES = ELEMENTWISE | LAYOUT | PRODUCTS
LAZY = {"broadcast_in_dim", "iota"}  # their rules know how to leave constants small


def translate(
    graph: Graph, program: Trace, inputs: dict[Variable, Tensor], outputs: Iterable[Variable]
) -> list[Tensor]:
    """Append the nodes that ``outputs`` need, from tensors for the program's inputs; gives theirs."""
    outputs = list(outputs)
    needed = needed_inputs(program, outputs)
    tensors = dict(inputs)
    for equation in program.equations:
        if needed.isdisjoint(equation.outputs):
            continue
        arguments = [tensor_of(x, tensors) for x in equation.inputs]
        results = compute(equation, arguments) if all(x.value is not None for x in arguments) else None
        if results is None:
            results = rule_of(equation)(graph, equation, arguments)
        tensors.update(zip(equation.outputs, results))
    return [tensor_of(x, tensors) for x in outputs]


def tensor_of(x: Variable, tensors: dict[Variable, Tensor]) -> Tensor:
    """The tensor of a variable; of a constant it is made where it is met."""
    if x not in tensors and x.value is not None:
        tensors[x] = constant(x.value)
    return tensors[x]


def rule_of(equation: Equation) -> Any:
    """How a primitive is written in ONNX."""
    rule = RULES.get(equation.name)
    if rule is None:
        installed = find_spec("jax2onnx") is not None
        remedy = "jax2onnx, which is installed, may know it" if installed else "the package jax2onnx may know it"
        raise UsageError(
            f"the network uses {equation.name!r} of JAX, for which proximax has no rule: it cannot be exported. "
            f"Write it by other operations ({', '.join(sorted(RULES))}), or convert the network by itself: {remedy}"
        )
    return rule


def compute(equation: Equation, inputs: list[Tensor]) -> list[Tensor] | None:
    """The results of an equation on constants; None where their size depends on the batch."""
    if equation.name in LAZY:
        return None
    arrays = [x.value for x in inputs if x.value is not None]
    if equation.name in ELEMENTWISE:  # their parameters say nothing of shapes
        rank = max(x.ndim for x in arrays)
        full = iter(np.broadcast_arrays(*(x for x in arrays if x.ndim == rank)))
        arrays = [x if x.ndim < rank else next(full) for x in arrays]
    elif all(is_fixed(x.dims) for x in (*equation.inputs, *equation.outputs)):
        arrays = [np.broadcast_to(x, [n for n, _ in var.dims]) for x, var in zip(arrays, equation.inputs)]
    else:
        return None
    result = equation.primitive.bind(*(jnp.asarray(x) for x in arrays), **equation.params[0])
    parts = result if equation.primitive.multiple_results else [result]
    return [constant(np.asarray(part)) for part in parts]
