"""JAX's elementwise operations in ONNX."""

from collections.abc import Callable
from typing import Any

import numpy as np

from proximax.errors import UsageError
from proximax.exporting.graph import ONE, Graph, Tensor, constant
from proximax.exporting.tracing import Dims, Equation

Rule = Callable[[Graph, Equation, list[Tensor]], list[Tensor]]

# One operator of ONNX with the same arguments.
SAME = {
    "abs": "Abs",
    "acos": "Acos",
    "acosh": "Acosh",
    "add": "Add",
    "add_any": "Add",
    "asin": "Asin",
    "asinh": "Asinh",
    "atan": "Atan",
    "atanh": "Atanh",
    "ceil": "Ceil",
    "cos": "Cos",
    "cosh": "Cosh",
    "div": "Div",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "logistic": "Sigmoid",
    "mul": "Mul",
    "neg": "Neg",
    "pow": "Pow",
    "sign": "Sign",
    "sin": "Sin",
    "sinh": "Sinh",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tan": "Tan",
    "tanh": "Tanh",
}
COMPARISONS = {"eq": "Equal", "ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "lt": "Less"}
LOGIC = {"and": "And", "or": "Or", "xor": "Xor", "max": "Or", "min": "And"}
BITS = {"and": "BitwiseAnd", "or": "BitwiseOr", "xor": "BitwiseXor"}


def common_dims(inputs: list[Tensor]) -> Dims:
    """The dims of an elementwise result: its inputs have the same axes, or none."""
    rank = max(len(x.dims) for x in inputs)
    shapes = [x.dims for x in inputs if len(x.dims) == rank]
    return tuple(next((dim for dim in axis if dim != ONE), ONE) for axis in zip(*shapes))


def apply(graph: Graph, operator: str, inputs: list[Tensor], dtype: Any = None, **attributes: Any) -> Tensor:
    """A node of an elementwise operator; by default of its first input's dtype."""
    return graph.node(operator, [*inputs], common_dims(inputs), dtype or inputs[0].dtype, **attributes)


def like(x: Tensor, number: float) -> Tensor:
    """A number of the dtype of ``x``."""
    return constant(np.asarray(number, x.dtype))


def same(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """One operator with the same arguments."""
    return [apply(graph, SAME[equation.name], inputs)]


def comparison(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Of numbers. Equality of booleans is ONNX's too."""
    if inputs[0].dtype.kind in "iu" and inputs[0].dtype.itemsize < 4:  # onnxruntime compares no small integers
        inputs = [graph.cast(x, np.int32) for x in inputs]
    return [apply(graph, COMPARISONS[equation.name], inputs, bool)]


def not_equal(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """``a != b``, true of NaN."""
    return [apply(graph, "Not", [apply(graph, "Equal", inputs, bool)])]


def logic(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Booleans by logic, integers bit by bit."""
    names = LOGIC if inputs[0].dtype == bool else BITS
    return [apply(graph, names[equation.name], inputs)]


def extremum(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """``max`` and ``min``."""
    if inputs[0].dtype == bool:
        return logic(graph, equation, inputs)
    return [apply(graph, equation.name.capitalize(), inputs)]


def invert(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Not."""
    return [apply(graph, "Not" if inputs[0].dtype == bool else "BitwiseNot", inputs)]


def remainder(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """With the sign of the dividend, as in C."""
    return [apply(graph, "Mod", inputs, fmod=1)]


def square(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """x²."""
    return [apply(graph, "Mul", inputs * 2)]


def integer_power(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """x to a constant power."""
    (x,), power = inputs, equation.params[0]["y"]
    if power == 2:
        return [apply(graph, "Mul", [x, x])]
    return [apply(graph, "Pow", [x, like(x, power)])]


def exp2(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """2 to the power of x."""
    return [apply(graph, "Pow", [like(inputs[0], 2), inputs[0]])]


def expm1(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Exp(x) - 1, as that: its error is one of float32 about 1."""
    return [apply(graph, "Sub", [apply(graph, "Exp", inputs), like(inputs[0], 1)])]


def log1p(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Log(1 + x), as that: its error is one of float32 about 1."""
    return [apply(graph, "Log", [apply(graph, "Add", [inputs[0], like(inputs[0], 1)])])]


def rsqrt(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """1 / √x."""
    return [apply(graph, "Reciprocal", [apply(graph, "Sqrt", inputs)])]


def erfc(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """1 - erf(x)."""
    return [apply(graph, "Sub", [like(inputs[0], 1), apply(graph, "Erf", inputs)])]


def round_(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """To the nearest integer, ties to the even one."""
    if int(equation.params[0]["rounding_method"]) != 1:
        raise UsageError("jax.lax.round with ties away from zero cannot be exported: use jnp.round")
    return [apply(graph, "Round", inputs)]


def is_finite(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Neither infinite nor NaN."""
    wrong = [apply(graph, operator, inputs, bool) for operator in ("IsInf", "IsNaN")]
    return [apply(graph, "Not", [apply(graph, "Or", wrong)])]


def clamp(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Between a lower and an upper bound."""
    low, x, high = inputs
    return [apply(graph, "Min", [apply(graph, "Max", [x, low]), high])]


def convert(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """To another dtype."""
    return [graph.cast(inputs[0], equation.params[0]["new_dtype"])]


def select(graph: Graph, equation: Equation, inputs: list[Tensor]) -> list[Tensor]:
    """Case ``which``: of two by a boolean, of several by an integer."""
    which, chosen, *others = inputs
    for i, case in enumerate(others, 1):
        is_this = which if which.dtype == bool else apply(graph, "Equal", [which, like(which, i)], bool)
        chosen = where(graph, is_this, case, chosen)
    return [chosen]


def where(graph: Graph, condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """``yes`` where the condition holds; of booleans by logic, for which onnxruntime has no Where."""
    if yes.dtype != bool:
        return graph.node("Where", [condition, yes, no], common_dims([condition, yes, no]), yes.dtype)
    rest = apply(graph, "And", [apply(graph, "Not", [condition]), no])
    return apply(graph, "Or", [apply(graph, "And", [condition, yes]), rest])


ELEMENTWISE: dict[str, Rule] = {
    **dict.fromkeys(SAME, same),
    **dict.fromkeys(COMPARISONS, comparison),
    **dict.fromkeys(("and", "or", "xor"), logic),
    "clamp": clamp,
    "convert_element_type": convert,
    "erfc": erfc,
    "exp2": exp2,
    "expm1": expm1,
    "integer_pow": integer_power,
    "is_finite": is_finite,
    "log1p": log1p,
    "max": extremum,
    "min": extremum,
    "ne": not_equal,
    "not": invert,
    "rem": remainder,
    "round": round_,
    "rsqrt": rsqrt,
    "select_n": select,
    "square": square,
}
