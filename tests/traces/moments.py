"""Records what other implementations do, for tests/test_moments.py to compare with.

It needs PyTorch and pytorch_optimizer 4.1.0, which the tests do not::

    pip install torch pytorch_optimizer
    python tests/traces/moments.py
"""

from pathlib import Path

import numpy as np
import pytorch_optimizer as po
import torch

STEPS = 12
SHAPES = {"b": (3,), "w": (4, 3)}
TINY = 1e-30
"""An epsilon without effect, where the place in which it is added differs from ours."""

CASES = {
    "RAdam": lambda p: torch.optim.RAdam(p, lr=0.1, eps=TINY),
    "RAdam-b2": lambda p: torch.optim.RAdam(p, lr=0.1, betas=(0.8, 0.95), eps=TINY),
    "ASGD": lambda p: torch.optim.ASGD(p, lr=0.1, lambd=0.1, t0=4, weight_decay=0.1),
    "Adamax": lambda p: torch.optim.Adamax(p, lr=0.1),
    "MADGRAD": lambda p: po.MADGRAD(p, lr=0.1, weight_decay=0.0),
    "AdaBelief": lambda p: po.AdaBelief(p, lr=0.1, rectify=False, weight_decay=0.0),
    "Lion": lambda p: po.Lion(p, lr=0.1, weight_decay=0.1),
    "AdEMAMix": lambda p: po.AdEMAMix(
        p, lr=0.1, betas=(0.9, 0.99, 0.999), alpha=3.0, t_alpha_beta3=8, weight_decay=0.0
    ),
    "StableAdamW": lambda p: po.StableAdamW(p, lr=0.1, eps=TINY, weight_decay=0.1, kahan_sum=False),
    "AdaBound": lambda p: po.AdaBound(p, lr=0.1, final_lr=0.3, gamma=0.1, weight_decay=0.0),
    "AMSBound": lambda p: po.AdaBound(
        p, lr=0.1, final_lr=0.3, gamma=0.1, weight_decay=0.0, ams_bound=True
    ),
    "AdamP": lambda p: po.AdamP(p, lr=0.1, weight_decay=0.1, delta=1.0, eps=TINY),
    "SGDP": lambda p: po.SGDP(p, lr=0.1, momentum=0.9, weight_decay=0.0, delta=1.0, eps=TINY),
    "QHM": lambda p: po.QHM(p, lr=0.1, momentum=0.9, nu=0.7),
    "AggMo": lambda p: po.AggMo(p, lr=0.01, betas=(0.0, 0.9, 0.99)),
}


def main() -> None:
    """Write moments.npz beside this file."""
    torch.set_default_dtype(torch.float64)  # their step counts and rates follow it
    rng = np.random.default_rng(0)
    start = {k: rng.normal(size=shape) for k, shape in SHAPES.items()}
    grads = {k: 0.5 * rng.normal(size=(STEPS, *shape)) for k, shape in SHAPES.items()}
    out = {f"start/{k}": x for k, x in start.items()} | {f"grads/{k}": x for k, x in grads.items()}
    for name, make in CASES.items():
        params = {k: torch.nn.Parameter(torch.tensor(x)) for k, x in start.items()}
        optimizer = make(list(params.values()))
        points: dict[str, list[np.ndarray]] = {}
        for i in range(STEPS):
            for k, p in params.items():
                p.grad = torch.tensor(grads[k][i])
            optimizer.step()
            for k, p in params.items():
                points.setdefault(k, []).append(p.detach().numpy().copy())
                if name == "ASGD":
                    points.setdefault(f"{k}/mean", []).append(
                        optimizer.state[p]["ax"].numpy().copy()
                    )
        out |= {f"{name}/{k}": np.stack(x) for k, x in points.items()}
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **out)


if __name__ == "__main__":
    main()
