"""Sums to a scalar as products with ones.

XLA adds the numbers of a row one after the other on CPU, and for a loss like
``jnp.sum(a * x**2)`` in lanes that takes longer than all the rest of a step. A product of a
matrix with a vector is the same sum, and uses the processor's vectors.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Var, jaxpr_as_fun

_LEAST = 16
"""Shorter sums gain nothing."""


def sums_as_products(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, with every sum of a whole real array taken as a product with ones.

    What stands in loops, branches and checkpoints stays as it is.

    >>> jax.make_jaxpr(sums_as_products(jnp.sum))(jnp.ones(32)).eqns[-1].primitive
    dot_general
    """

    def product(*args: Any) -> Any:
        closed, out = jax.make_jaxpr(f, return_shape=True)(*args)
        leaves = _evaluated(closed.jaxpr, closed.consts, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(out), leaves)

    return product


def _evaluated(jaxpr: Any, consts: Any, inputs: Any) -> list[Any]:
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))

    def read(atom: Any) -> Any:
        return known[atom] if isinstance(atom, Var) else atom.val

    for eqn in jaxpr.eqns:
        if eqn.primitive.name in ("jit", "pjit"):
            inner = eqn.params["jaxpr"]
            out = _evaluated(inner.jaxpr, inner.consts, map(read, eqn.invars))
        elif eqn.primitive.name == "reduce_sum" and _pays(eqn):
            x = jnp.ravel(read(eqn.invars[0]))
            out = [jnp.dot(x, jnp.ones_like(x), precision=jax.lax.Precision.HIGHEST)]
        else:
            variables = [x for x in eqn.invars if isinstance(x, Var)]
            alone = jaxpr.replace(
                constvars=[], invars=variables, outvars=eqn.outvars, eqns=[eqn], effects=eqn.effects
            )
            out = jaxpr_as_fun(ClosedJaxpr(alone, ()))(*map(read, variables))
        known.update(zip(eqn.outvars, out, strict=True))
    return list(map(read, jaxpr.outvars))


def _pays(eqn: Any) -> bool:
    """Whether a sum is over all axes of a large enough array in single or double precision."""
    x = eqn.invars[0].aval
    whole = len(eqn.params["axes"]) == x.ndim
    return whole and x.size >= _LEAST and x.dtype in (jnp.float32, jnp.float64)
