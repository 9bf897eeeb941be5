"""The arithmetic of a loss in the form that is fastest in lanes, on CPU above all.

Sums to a scalar become products with ones. XLA adds the numbers of a row one after the other,
and for a loss like ``jnp.sum(a * x**2)`` in lanes that takes longer than all the rest of a step;
a product of a matrix with a vector is the same sum, and uses the processor's vectors.

Products ``A @ v`` of data with a vector that hangs on the parameters become ``v @ A.T``. JAX puts
the lanes where the vector was, behind the rows of ``A``, from where every use of the product, and
every product of a gradient or a Hessian, would have to fetch them to the front again.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Var, jaxpr_as_fun

from ravine.core.tree import SHORT


def for_lanes(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function of a lane's parameters, in that form; it closes over the data.

    What stands in loops, branches and checkpoints stays as it is.

    >>> jax.make_jaxpr(for_lanes(jnp.sum))(jnp.ones(32)).eqns[-1].primitive
    dot_general
    """

    def formed(*args: Any) -> Any:
        closed, out = jax.make_jaxpr(f, return_shape=True)(*args)
        leaves = jax.tree.leaves(args)
        known = _evaluated(closed.jaxpr, closed.consts, leaves, [True] * len(leaves))
        return jax.tree.unflatten(jax.tree.structure(out), [x for x, _ in known])

    return formed


def _evaluated(jaxpr: Any, consts: Any, inputs: Any, own: Any) -> list[tuple[Any, bool]]:
    """The outputs, and whether each hangs on an input that is the lane's own."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))
    owned = {v for v, is_own in zip(jaxpr.invars, own, strict=True) if is_own}

    def read(atom: Any) -> Any:
        return known[atom] if isinstance(atom, Var) else atom.val

    def is_own(atom: Any) -> bool:
        return isinstance(atom, Var) and atom in owned

    for eqn in jaxpr.eqns:
        mine = [any(map(is_own, eqn.invars))] * len(eqn.outvars)
        if eqn.primitive.name in ("jit", "pjit"):
            inner = eqn.params["jaxpr"]
            found = _evaluated(
                inner.jaxpr, inner.consts, map(read, eqn.invars), map(is_own, eqn.invars)
            )
            out, mine = [x for x, _ in found], [m for _, m in found]
        elif eqn.primitive.name == "reduce_sum" and _pays(eqn):
            x = jnp.ravel(read(eqn.invars[0]))
            out = [jnp.dot(x, jnp.ones_like(x), precision=jax.lax.Precision.HIGHEST)]
        elif eqn.primitive.name == "dot_general" and _swaps(eqn, *map(is_own, eqn.invars)):
            out = [_swapped(eqn, *map(read, eqn.invars))]
        else:
            variables = [x for x in eqn.invars if isinstance(x, Var)]
            alone = jaxpr.replace(
                constvars=[], invars=variables, outvars=eqn.outvars, eqns=[eqn], effects=eqn.effects
            )
            out = jaxpr_as_fun(ClosedJaxpr(alone, ()))(*map(read, variables))
        known.update(zip(eqn.outvars, out, strict=True))
        owned.update(v for v, m in zip(eqn.outvars, mine, strict=True) if m)
    return [(read(x), is_own(x)) for x in jaxpr.outvars]


def _pays(eqn: Any) -> bool:
    """Whether a sum is over all axes of a large enough array in single or double precision."""
    x = eqn.invars[0].aval
    whole = len(eqn.params["axes"]) == x.ndim
    return whole and x.size >= SHORT and x.dtype in (jnp.float32, jnp.float64)


def _swaps(eqn: Any, left_own: bool, right_own: bool) -> bool:
    """Whether a product is of data with a vector that is the lane's own."""
    vector = eqn.invars[1].aval.ndim == 1 and eqn.params["dimension_numbers"][0][1]
    return bool(not left_own and right_own and vector)


def _swapped(eqn: Any, left: Any, right: Any) -> Any:
    """The product with the vector on the left."""
    (of_left, of_right), _ = eqn.params["dimension_numbers"]
    precision = eqn.params["precision"]
    if isinstance(precision, tuple):
        precision = precision[::-1]
    return jax.lax.dot_general(
        right, left, ((of_right, of_left), ((), ())),
        precision=precision, preferred_element_type=eqn.params["preferred_element_type"],
    )  # fmt: skip
