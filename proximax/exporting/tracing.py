"""A JAX function as a flat list of equations whose sizes may depend on the batch.

A file takes any batch size, and a traced program has one. The function is traced at two of them; what differs between
the two is a multiple of the batch size (plus a constant). Unlike symbolic sizes, this also takes code that asks for
``len(x)``, as networks do.

Calls inside the program (``jit``, ``custom_vjp``, ``checkpoint``, ...) are replaced by what they call. A choice by
platform takes the default one, so that convolutions are convolutions and not this machine's matrix products.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from proximax.errors import UsageError
from proximax.types import PyTree

Dim = tuple[int, int]  # a size in either trace
Dims = tuple[Dim, ...]
BATCHES = (5, 7)  # the batch sizes; neither is 1, which is broadcast
MAX_UNROLL = 128  # steps of a ``lax.scan`` that are written out
CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # where a call keeps the program that it calls
OPAQUE = {"scan", "while", "cond"}  # have programs inside, and are not calls


@dataclass(eq=False)
class Variable:
    """An array of the program; ``value``: of a constant, with one element along an axis that the batch repeats."""

    dims: Dims
    dtype: np.dtype[Any]
    value: np.ndarray | None = None


class Equation(NamedTuple):
    """One operation; ``params``: in either trace."""

    primitive: Any
    params: tuple[dict[str, Any], dict[str, Any]]
    inputs: tuple[Variable, ...]
    outputs: tuple[Variable, ...]

    @property
    def name(self) -> str:
        """The primitive's name."""
        return self.primitive.name


class Trace(NamedTuple):
    """A program: ``inputs`` and ``outputs`` are the leaves of the function's."""

    inputs: list[Variable]
    outputs: list[Variable]
    equations: list[Equation]


class Pair(NamedTuple):
    """The same thing in either trace."""

    first: Any
    second: Any


def trace(function: Callable[..., PyTree], example: Callable[[int], Sequence[Any]]) -> Trace:
    """The equations of ``function(*example(B))``, where ``example`` gives shapes for a batch of B."""
    closed = Pair(*(jax.make_jaxpr(function)(*example(batch)) for batch in BATCHES))
    pair = Pair(*(x.jaxpr for x in closed))
    consts = [constant(*both) for both in zip(closed.first.consts, closed.second.consts)]
    inputs = [variable(*both) for both in zip(pair.first.invars, pair.second.invars)]
    equations: list[Equation] = []
    outputs = inline(pair, [*consts, *inputs], equations)
    return Trace(inputs, outputs, equations)


def constant(first: Any, second: Any) -> Variable:
    """An array that the program holds, in either trace; along the batch it must be the same in every row."""
    values = [np.asarray(first), np.asarray(second)]
    dims = tuple(zip(values[0].shape, values[1].shape))
    for axis, (a, b) in enumerate(dims):
        if a != b:
            rows = [x.take([0], axis) for x in values]
            if any((x != one).any() for x, one in zip(values, rows)):
                raise UsageError("the network holds other numbers for every row of a batch: it cannot be exported")
            values = rows
    if values[0].tobytes() != values[1].tobytes():
        raise UsageError("the network draws other numbers each time that it is called: it cannot be exported")
    return Variable(dims, values[0].dtype, values[0])


def variable(first: Any, second: Any) -> Variable:
    """An array with a size in either trace."""
    return Variable(tuple(zip(first.aval.shape, second.aval.shape)), np.dtype(first.aval.dtype))


def inline(pair: Pair, inputs: Sequence[Variable], equations: list[Equation]) -> list[Variable]:
    """Append the equations of a program on these inputs (its constants first), and give its outputs."""
    first, second = pair
    known = dict(zip([*first.constvars, *first.invars], inputs, strict=True))
    if [e.primitive.name for e in first.eqns] != [e.primitive.name for e in second.eqns]:
        raise UsageError("the network does other things for another batch size, which no exported file can")
    for one, two in zip(first.eqns, second.eqns):
        arguments = [read(*both, known) for both in zip(one.invars, two.invars)]
        results = apply_equation(Pair(one, two), arguments, equations)
        known.update(zip(one.outvars, results, strict=True))
    return [read(*both, known) for both in zip(first.outvars, second.outvars)]


def read(first: Any, second: Any, known: dict[Any, Variable]) -> Variable:
    """The variable of an argument, which may be a literal."""
    if not hasattr(first, "val"):
        return known[first]
    return constant(*(np.asarray(x.val, x.aval.dtype) for x in (first, second)))


def apply_equation(pair: Pair, arguments: list[Variable], equations: list[Equation]) -> list[Variable]:
    """Append one equation of a program, or what it stands for; gives its outputs."""
    name, params = pair.first.primitive.name, Pair(pair.first.params, pair.second.params)
    if name == "cond":
        return apply_cond(pair, params, arguments, equations)
    if name == "scan":
        return apply_scan(params, arguments, equations)
    called = next((key for key in CALLS if key in pair.first.params), None)
    if called and name not in OPAQUE:
        return call(Pair(*(x[called] for x in params)), arguments, equations)
    outputs = [variable(*both) for both in zip(pair.first.outvars, pair.second.outvars)]
    return append(equations, pair.first.primitive, params, arguments, outputs)


def append(
    equations: list[Equation], primitive: Any, params: Pair, inputs: Iterable[Variable], outputs: list[Variable]
) -> list[Variable]:
    """Append an equation; gives its outputs."""
    equations.append(Equation(primitive, (params.first, params.second), tuple(inputs), tuple(outputs)))
    return outputs


def call(pair: Pair, arguments: Sequence[Variable], equations: list[Equation]) -> list[Variable]:
    """The equations of a program that is called, closed over constants or not."""
    consts = [constant(*both) for both in zip(*(getattr(x, "consts", ()) for x in pair))]
    bodies = Pair(*(getattr(x, "jaxpr", x) for x in pair))
    return inline(bodies, [*consts, *arguments], equations)


def apply_cond(pair: Pair, params: Pair, arguments: list[Variable], equations: list[Equation]) -> list[Variable]:
    """The default branch of a choice by platform. Any other: all branches, and a selection of their results."""
    branches = [Pair(*both) for both in zip(params.first["branches"], params.second["branches"])]
    platforms = params.first.get("branches_platforms")
    if platforms is not None:
        at = next((i for i, names in enumerate(platforms) if names is None), len(platforms) - 1)
        return call(branches[at], arguments[1:], equations)
    index, *operands = arguments
    results = [call(branch, operands, equations) for branch in branches]
    outputs = [variable(*both) for both in zip(pair.first.outvars, pair.second.outvars)]
    for output, cases in zip(outputs, zip(*results)):
        append(equations, lax.select_n_p, Pair({}, {}), (index, *cases), [output])
    return outputs


def apply_scan(params: Pair, arguments: list[Variable], equations: list[Equation]) -> list[Variable]:
    """Every step of a loop, one after the other."""
    steps = params.first["length"]
    if steps != params.second["length"] or not 0 < steps <= MAX_UNROLL:
        raise UsageError(f"the network has a lax.scan of {steps} steps; one of 1 to {MAX_UNROLL} can be exported")
    consts, carried = params.first["num_consts"], params.first["num_carry"]
    fixed, carry, stacked = arguments[:consts], arguments[consts : consts + carried], arguments[consts + carried :]
    body = Pair(*(x["jaxpr"] for x in params))
    results: list[list[Variable]] = [[] for _ in range(steps)]
    for i in reversed(range(steps)) if params.first["reverse"] else range(steps):
        parts = [row(x, i, equations) for x in stacked]
        outputs = call(body, [*fixed, *carry, *parts], equations)
        carry, results[i] = outputs[:carried], outputs[carried:]
    return [*carry, *(stack(rows, equations) for rows in zip(*results))]


def row(x: Variable, i: int, equations: list[Equation]) -> Variable:
    """``x[i]``."""
    bounds = [
        {
            "start_indices": (i, *[0] * (len(shape) - 1)),
            "limit_indices": (i + 1, *shape[1:]),
            "strides": None,
        }
        for shape in zip(*x.dims)
    ]
    part = append(equations, lax.slice_p, Pair(*bounds), [x], [Variable(((1, 1), *x.dims[1:]), x.dtype)])
    squeezed = {"dimensions": (0,)}
    return append(equations, lax.squeeze_p, Pair(squeezed, squeezed), part, [Variable(x.dims[1:], x.dtype)])[0]


def stack(rows: Sequence[Variable], equations: list[Equation]) -> Variable:
    """Arrays one on top of the other, along a new first axis."""
    like = rows[0]
    parts: list[Variable] = []
    for x in rows:
        shapes = [
            {"shape": (1, *shape), "broadcast_dimensions": tuple(range(1, len(shape) + 1)), "sharding": None}
            for shape in (zip(*x.dims) if x.dims else ((), ()))
        ]
        out = [Variable(((1, 1), *x.dims), x.dtype)]
        parts += append(equations, lax.broadcast_in_dim_p, Pair(*shapes), [x], out)
    along = {"dimension": 0}
    whole = Variable(((len(rows), len(rows)), *like.dims), like.dtype)
    return append(equations, lax.concatenate_p, Pair(along, along), parts, [whole])[0]


def needed_inputs(program: Trace, outputs: Iterable[Variable]) -> set[Variable]:
    """The variables that these outputs depend on, themselves among them."""
    needed = set(outputs)
    for equation in reversed(program.equations):
        if needed & set(equation.outputs):
            needed |= set(equation.inputs)
    return needed
