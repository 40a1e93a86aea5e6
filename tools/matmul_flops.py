"""Counts the arithmetic of matrix products in a JAX program.

XLA's own count takes a loop's body once and knows nothing of a Pallas kernel;
here a loop counts as often as it runs, and a kernel once a grid cell.
"""

import math

from jax.interpreters import partial_eval


def matmul_flops(jaxpr):
    """Floating-point operations of all matrix products that a program runs.

    A product of `(m, k)` and `(k, n)` counts `2 * m * k * n`. Of a choice
    between branches, the costliest counts. What runs on several devices
    inside `jax.shard_map` counts for all of them. What no output needs does
    not count: the compiler drops it.

    Args:
        jaxpr: `jax.extend.core.ClosedJaxpr`, as `jax.jit(f).trace(...).jaxpr`.

    Returns:
        An int.

    Raises:
        ValueError: for a `while` loop with a matrix product in it, since
            nothing tells how often it runs.
    """
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    # A gradient rule of an op's own computes that of frozen weights too.
    needed, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))
    return _jaxpr_flops(needed)


def _jaxpr_flops(jaxpr):
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    return sum(_equation_flops(equation) for equation in jaxpr.eqns)


def _equation_flops(equation):
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        return _dot_flops(equation)
    inner = [_jaxpr_flops(jaxpr) for jaxpr in _inner_jaxprs(params)]
    if not any(inner):
        return 0
    if name == "cond":
        return max(inner)
    if name == "while":
        raise ValueError(
            "A `while` loop holds a matrix product, and nothing tells how "
            "often it runs: write it as `jax.lax.scan`."
        )
    times = 1
    if name == "scan":
        times = params["length"]
    elif name == "pallas_call":
        times = math.prod(params["grid_mapping"].grid)
    elif name == "shard_map":
        times = params["mesh"].size
    return times * sum(inner)


def _dot_flops(equation):
    (contracting, _), _ = equation.params["dimension_numbers"]
    lhs = equation.invars[0].aval.shape
    output = equation.outvars[0].aval.shape
    return 2 * math.prod(output) * math.prod(lhs[i] for i in contracting)


def _inner_jaxprs(params):
    for value in params.values():
        for entry in value if isinstance(value, (tuple, list)) else [value]:
            if hasattr(entry, "eqns") or hasattr(entry, "jaxpr"):
                yield entry
