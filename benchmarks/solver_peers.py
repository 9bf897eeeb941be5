"""Minimisers of other libraries, all brought to the same test: the norm of the gradient.

``until(loss, tolerance, most)`` of each entry makes a function of one start (and of the loss's
second argument) to the minimiser found; traceable, so that it can be mapped with vmap or
lax.map. Optimistix has no test on the gradient: its own, on the step and the value, are set so
tight that the gradient's holds where they do, and a norm check in the loop ends it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

Solve = Callable[..., Any]

SHORTEST = 1e-14
"""How short the steps of Optimistix's minimisers may become."""


def in_optax(loss: Callable[..., Any], tolerance: float, most: int) -> Solve:
    """Optax's L-BFGS with its zoom line search, in the loop of its documentation."""
    optimizer = optax.lbfgs()

    def solve(x: Any, *args: Any) -> Any:
        def f(x: Any) -> Any:
            return loss(x, *args)

        value_and_grad = optax.value_and_grad_from_state(f)

        def body(carry: Any) -> Any:
            x, state, _, count = carry
            value, grad = value_and_grad(x, state=state)
            updates, state = optimizer.update(grad, state, x, value=value, grad=grad, value_fn=f)
            x = optax.apply_updates(x, updates)
            return x, state, jnp.linalg.norm(optax.tree.get(state, "grad")), count + 1

        def go_on(carry: Any) -> Any:
            return (carry[2] > tolerance) & (carry[3] < most)

        start = x, optimizer.init(x), jnp.full((), jnp.inf, x.dtype), jnp.zeros((), jnp.int32)
        return jax.lax.while_loop(go_on, body, start)[0]

    return solve


def in_jaxopt(loss: Callable[..., Any], tolerance: float, most: int, method: str) -> Solve:
    """JAXopt's L-BFGS or BFGS, whose test is the norm of the gradient."""
    import jaxopt

    solver = getattr(jaxopt, method)(loss, tol=tolerance, maxiter=most, implicit_diff=False)
    return lambda x, *args: solver.run(x, *args).params


def in_optimistix(loss: Callable[..., Any], tolerance: float, most: int, method: str) -> Solve:
    """Optimistix's L-BFGS or BFGS, stopped by the norm of the gradient as well."""
    import optimistix as ox

    class UntilFlat(getattr(ox, method)):  # type: ignore[misc]
        def terminate(self, fn, y, args, options, state, tags):  # type: ignore[no-untyped-def]
            done, result = super().terminate(fn, y, args, options, state, tags)
            norm = jnp.linalg.norm(state.f_info.grad)
            return done | (~state.first_step & (norm <= tolerance)), result

    solver = UntilFlat(rtol=SHORTEST, atol=SHORTEST)

    def solve(x: Any, *args: Any) -> Any:
        return ox.minimise(
            lambda y, extra: loss(y, *extra), solver, x, args, max_steps=most, throw=False
        ).value

    return solve


def squares_in_optimistix(residuals: Callable[..., Any], tolerance: float, most: int) -> Solve:
    """Optimistix's Levenberg-Marquardt; its tests are on the step and the value."""
    import optimistix as ox

    solver = ox.LevenbergMarquardt(rtol=1e-3 * tolerance, atol=1e-3 * tolerance)
    return lambda x: (
        ox.least_squares(lambda y, _: residuals(y), solver, x, max_steps=most, throw=False).value
    )


def squares_in_jaxopt(residuals: Callable[..., Any], tolerance: float, most: int) -> Solve:
    """JAXopt's Levenberg-Marquardt."""
    import jaxopt

    solver = jaxopt.LevenbergMarquardt(residuals, tol=tolerance, maxiter=most, implicit_diff=False)
    return lambda x: solver.run(x).params


def squares_in_scipy(residuals: Any, jacobian: Any, tolerance: float, most: int) -> Any:
    """SciPy's least_squares, MINPACK's Levenberg-Marquardt, on NumPy functions."""
    from scipy.optimize import least_squares

    tight = dict.fromkeys(("xtol", "ftol", "gtol"), max(1e-3 * tolerance, 1e-15))
    return lambda x: least_squares(residuals, x, jacobian, method="lm", max_nfev=most, **tight)


def in_scipy(value_and_grad: Callable[..., Any], tolerance: float, most: int, method: str) -> Any:
    """SciPy's minimisers on a value and gradient in NumPy, called one start after another."""
    from scipy.optimize import minimize

    options = {"maxiter": most, "gtol": tolerance}
    if method == "L-BFGS-B":
        options |= {"maxfun": 20 * most, "ftol": 0.0}

    def solve(x: np.ndarray) -> Any:
        return minimize(value_and_grad, x, jac=True, method=method, options=options)

    return solve


JAX_PEERS: dict[str, Callable[..., Solve]] = {
    "Optax L-BFGS": in_optax,
    "JAXopt L-BFGS": lambda *a: in_jaxopt(*a, "LBFGS"),
    "JAXopt BFGS": lambda *a: in_jaxopt(*a, "BFGS"),
    "Optimistix L-BFGS": lambda *a: in_optimistix(*a, "LBFGS"),
    "Optimistix BFGS": lambda *a: in_optimistix(*a, "BFGS"),
}

SQUARES_PEERS: dict[str, Callable[..., Solve]] = {
    "Optimistix Levenberg-Marquardt": squares_in_optimistix,
    "JAXopt Levenberg-Marquardt": squares_in_jaxopt,
}
