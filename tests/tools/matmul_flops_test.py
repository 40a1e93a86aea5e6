import keras
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("reads JAX programs", allow_module_level=True)

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from matmul_flops import matmul_flops

A, B = jnp.ones((3, 4)), jnp.ones((4, 5))
ONCE = 2 * 3 * 4 * 5


def flops(f, *args):
    return matmul_flops(jax.jit(f).trace(*args).jaxpr)


def test_a_product():
    assert flops(lambda a, b: jnp.sin(a @ b), A, B) == ONCE


def test_a_batched_product():
    a, b = jnp.ones((7, 3, 4)), jnp.ones((7, 4, 5))
    assert flops(lambda a, b: a @ b, a, b) == 7 * ONCE


def test_a_gradient_costs_a_product_for_each_argument():
    def loss(a, b):
        return (a @ b).sum()

    assert flops(jax.value_and_grad(loss), A, B) == 2 * ONCE
    assert flops(jax.value_and_grad(loss, argnums=(0, 1)), A, B) == 3 * ONCE


def test_what_no_output_needs_does_not_count():
    @jax.custom_vjp
    def product(a, b):
        return a @ b

    product.defvjp(
        lambda a, b: (a @ b, (a, b)), lambda x, g: (g @ x[1].T, x[0].T @ g)
    )

    def loss(a, b):
        return (product(a, b) ** 2).sum()

    assert flops(jax.value_and_grad(loss), A, B) == 2 * ONCE
    assert flops(jax.value_and_grad(loss, argnums=(0, 1)), A, B) == 3 * ONCE


def test_recomputation_counts():
    w = jnp.ones((4, 4))

    def loss(f):
        return lambda w: f(f(A, w), w).sum()

    once = 2 * 3 * 4 * 4
    plain = flops(jax.grad(loss(lambda a, w: jnp.sin(a @ w))), w)
    remat = flops(
        jax.grad(loss(jax.checkpoint(lambda a, w: jnp.sin(a @ w)))), w
    )
    # Forward twice, and backward three times: the first input has none.
    assert plain == 5 * once
    assert plain < remat <= plain + 2 * once


def test_a_loop_counts_as_often_as_it_runs():
    def f(a, b):
        return jax.lax.scan(
            lambda c, _: (c + (a @ b).sum(), None), 0.0, None, 9
        )

    assert flops(f, A, B) == 9 * ONCE


def test_the_costliest_branch_counts():
    def f(a, b):
        return jax.lax.cond(
            a[0, 0] > 0, lambda: (a @ b).sum(), lambda: (a @ b @ b.T).sum()
        )

    assert flops(f, A, B) == 2 * ONCE


def test_a_kernel_counts_once_a_cell():
    def kernel(a, b, out):
        out[...] = a[...] @ b[...]

    def f(a, b):
        return pl.pallas_call(
            kernel,
            grid=(6,),
            in_specs=[
                pl.BlockSpec((3, 4), lambda i: (i, 0)),
                pl.BlockSpec((4, 5), lambda i: (0, 0)),
            ],
            out_specs=pl.BlockSpec((3, 5), lambda i: (i, 0)),
            out_shape=jax.ShapeDtypeStruct((18, 5), "float32"),
            interpret=True,
        )(a, b)

    assert flops(f, jnp.ones((18, 4)), B) == 6 * ONCE


def test_an_endless_loop_is_refused():
    def f(a, b):
        return jax.lax.while_loop(
            lambda x: x < 10, lambda x: x + (a @ b).sum(), 0.0
        )

    with pytest.raises(ValueError, match="`while` loop holds a matrix product"):
        flops(f, A, B)
