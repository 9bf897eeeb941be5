"""Matrix preconditioners: Muon and its kin, Shampoo, SOAP, Kron."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ravine import optimizers as ro
from ravine import transforms as rt
from tests.registry.entry import Entry, alike, inverse_time, matrices

COEFFS: Any = ((3.0, -3.5, 1.5), (1.5, -0.5, 0.0))


def scanned(rule: Any, gradients: list[Any]) -> list[Any]:
    """The updates of a rule for these gradients, from one program that is hardly optimized.

    The parameters are the first gradients; there must be two steps at least.
    """

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def run(rule: Any, params: Any, gradients: Any) -> Any:
        def step(state: Any, g: Any) -> Any:
            updates, state = rule.update(g, state, params)
            return state, updates

        return jax.lax.scan(step, rule.init(params), gradients)[1]

    gradients = [jax.tree.map(jnp.asarray, g) for g in gradients]
    out = run(rule, gradients[0], jax.tree.map(lambda *x: jnp.stack(x), *gradients))
    return [jax.tree.map(lambda u, i=i: u[i], out) for i in range(len(gradients))]


OPTIMIZERS = [
    alike("Muon", learning_rate=0.1),
    alike(
        "Muon-adaptive",
        learning_rate=inverse_time,
        ns_coeffs=COEFFS,
        beta=0.9,
        weight_decay=0.1,
        weight_decay_mask=matrices,
        mu_dtype="float32",
        nesterov=False,
        adaptive=True,
        adam_learning_rate=0.01,
        complex=False,
    ),
    alike(
        "Muon-aol",
        learning_rate=0.1,
        ns_steps=3,
        preconditioning="aol",
        consistent_rms=0.2,
    ),
    alike(
        "Muon-dion",
        learning_rate=0.1,
        ns_coeffs="dion",
        preconditioning="schatten",
    ),
    Entry("AdaMuon", ro.AdaMuon(0.1)),
    Entry(
        "AdaMuon-nesterov",
        ro.AdaMuon(inverse_time, weight_decay=0.1, weight_decay_mask=matrices, nesterov=True),
    ),
    Entry("NorMuon", ro.NorMuon(0.1)),
    Entry(
        "NorMuon-rms",
        ro.NorMuon(inverse_time, weight_decay=0.1, nesterov=False, consistent_rms=0.2),
    ),
    Entry("Scion", ro.Scion(0.1)),
    Entry("Scion-sign", ro.Scion(inverse_time, norm="sign", unconstrained=True), smooth=False),
    Entry("Dion", ro.Dion(0.1)),
    Entry("Dion-rank", ro.Dion(inverse_time, rank=1, weight_decay=0.1, adam_learning_rate=0.01)),
    Entry("Shampoo", ro.Shampoo(0.1)),
    Entry(
        "Shampoo-sum",
        ro.Shampoo(
            inverse_time,
            b1=0.0,
            b2=None,
            block_size=2,
            graft=None,
            root_method="newton",
            weight_decay=0.1,
            weight_decay_mask=matrices,
        ),
    ),
    Entry("SOAP", ro.SOAP(0.1)),
    Entry(
        "SOAP-options",
        ro.SOAP(
            inverse_time,
            shampoo_beta=0.9,
            precondition_frequency=1,
            precondition_1d=True,
            normalize_grads=True,
            skip_first=False,
            weight_decay_mask=matrices,
        ),
    ),
    Entry("Kron", ro.Kron(0.1), smooth=False),
    Entry(
        "Kron-options",
        ro.Kron(
            inverse_time,
            weight_decay=0.1,
            weight_decay_mask=matrices,
            preconditioner_update_probability=0.5,
            min_ndim_triangular=1,
            memory_save_mode="one_diag",
            momentum_into_precond_update=False,
        ),
        smooth=False,
    ),
]

TRANSFORMS = [
    Entry("ScaleByAdaMuon", rt.ScaleByAdaMuon()),
    Entry("ScaleByNorMuon", rt.ScaleByNorMuon()),
    # Random directions lead the factors, so that roundings grow.
    Entry("ScaleByKron", rt.ScaleByKron(), smooth=False),
    Entry("ScaleByDion", rt.ScaleByDion()),
    Entry("ScaleByLmo", rt.ScaleByLmo()),
    # Optax's take matrices only, and are compared as parts of its muon.
    Entry("ScaleByMuon", rt.ScaleByMuon()),
    Entry("ScaleByShampoo", rt.ScaleByShampoo()),
    Entry("ScaleByShape", rt.ScaleByShape()),
    Entry("ScaleBySoap", rt.ScaleBySoap()),
]
WRAPPERS: list[Any] = []
