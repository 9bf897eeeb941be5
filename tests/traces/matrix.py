"""Records what SOAP and PSGD-Kron do in code that their users run.

Run it with the packages below; the tests need only the file that it writes.

    pip install pytorch_optimizer==4.1.0 psgd_jax==0.2.9 torch
    python tests/traces/matrix.py
"""

import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

SHAPES = {"wide": (2, 4), "tall": (3, 2), "vector": (3,)}
STEPS = 48
# Among so many steps is one in which Kron balances its factors, which it does at random.
SOAP: dict[str, dict[str, Any]] = {
    "plain": {"precondition_frequency": 3},
    "options": {
        "betas": (0.8, 0.9),
        "shampoo_beta": 0.7,
        "precondition_frequency": 2,
        "max_precondition_dim": 3,
        "precondition_1d": True,
        "correct_bias": False,
    },
}
KRON: dict[str, dict[str, Any]] = {
    "plain": {"preconditioner_update_probability": 1.0},
    "options": {
        "b1": 0.8,
        "preconditioner_update_probability": 0.4,
        "max_size_triangular": 3,
        "min_ndim_triangular": 1,
        "momentum_into_precond_update": False,
        "preconditioner_lr": 0.3,
        "preconditioner_init_scale": 0.5,
    },
}


def gradients() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(STEPS, *shape)) for name, shape in SHAPES.items()}


def soap(settings: dict[str, Any]) -> dict[str, np.ndarray]:
    import pytorch_optimizer  # type: ignore[import-not-found]
    import torch

    g = gradients()
    params = {k: torch.zeros(s, dtype=torch.float64, requires_grad=True) for k, s in SHAPES.items()}
    optimizer = pytorch_optimizer.SOAP(params.values(), lr=1.0, weight_decay=0.0, **settings)
    out: dict[str, list[Any]] = {k: [] for k in SHAPES}
    for t in range(STEPS):
        for k, p in params.items():
            p.data.zero_()
            p.grad = torch.tensor(g[k][t])
        optimizer.step()
        for k, p in params.items():
            out[k].append(-p.detach().numpy().copy())
    return {k: np.stack(u) for k, u in out.items()}


def kron(settings: dict[str, Any]) -> dict[str, np.ndarray]:
    # It imports, and never uses, a module that newer releases of Optax have moved.
    sys.modules.setdefault("optax._src.clipping", optax.transforms)
    optax._src.clipping = optax.transforms
    from psgd_jax.kron import scale_by_kron  # type: ignore[import-not-found]

    g = gradients()
    transform = scale_by_kron(**settings, precond_update_precision="float32")
    state = transform.init({k: g[k][0] for k in SHAPES})
    out: dict[str, list[Any]] = {k: [] for k in SHAPES}
    update = jax.jit(transform.update)
    for t in range(STEPS):
        u, state = update({k: jax.numpy.asarray(g[k][t]) for k in SHAPES}, state)
        for k in SHAPES:
            out[k].append(np.asarray(u[k]))
    return {k: np.stack(u) for k, u in out.items()}


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    found = {f"gradients/{k}": g for k, g in gradients().items()}
    for method, cases in ((soap, SOAP), (kron, KRON)):
        for case, settings in cases.items():
            found |= {f"{method.__name__}/{case}/{k}": u for k, u in method(settings).items()}
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **found)
