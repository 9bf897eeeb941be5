"""The examples: what each one claims, by its numbers."""

import importlib.util
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


def example(name):
    """The module, loaded from its file: the folder is no package."""
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses, and so rules and modules of Equinox, look their annotations up here.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_flax_network_learns_and_comes_back_as_a_module():
    nnx = pytest.importorskip("flax.nnx")
    out = example("flax_nnx").main(quick=True)
    assert isinstance(out["network"], nnx.Module)
    assert out["accuracy"] > 0.93
    assert len(out["results"].ranking) == len(out["results"])


@pytest.mark.slow
def test_an_equinox_model_has_a_scale_at_which_it_learns_the_details():
    pytest.importorskip("equinox")
    module = example("equinox_model")
    out = module.main(quick=True)
    (low, *_, high) = out["errors"]
    assert low < out["scale"] < high
    at_best = out["errors"][out["scale"]]
    # Too low a scale cannot follow the samples; too high a one does, and errs between them.
    assert at_best[1] < 1e-2 < out["errors"][low][0]
    assert out["errors"][high][0] < 1e-6 < 0.1 < out["errors"][high][1]
    assert out["value"] == pytest.approx(float(module.signal(0.3)), abs=0.1)


@pytest.mark.slow
def test_both_routes_to_the_errors_of_a_fit_agree():
    module = example("fit_physics")
    out = module.main(quick=True)
    assert 0.3 < out["found"] < 1  # one start would not do
    assert (out["refits"].steps < 100).all()
    # 200 data sets estimate a spread to 5 %: four of its standard errors.
    np.testing.assert_allclose(out["spread"], out["linear"], rtol=0.2)
    assert (np.abs(np.asarray(out["fit"]) - module.TRUE) < 4 * out["linear"]).all()


@pytest.mark.slow
def test_the_best_rate_falls_with_the_width_unless_it_is_scaled():
    slopes = example("width_transfer").main(quick=True)["slopes"]
    assert slopes["standard"] < -0.35
    assert abs(slopes["muP"]) < 0.2


@pytest.mark.slow
def test_hypergradients_are_the_differences_and_lead_down():
    out = example("hypergradient").main(quick=True)
    np.testing.assert_allclose(out["slopes"], out["differences"], rtol=0.01, atol=1e-4)
    assert out["tuned"].value < 0.7 * out["tuned"].history[0]
    assert out["tuned"].params.momentum == np.float32(0.9)


@pytest.mark.slow
def test_optax_ends_where_the_native_optimizer_does():
    # Optax mixes dtypes freely.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        out = example("optax_in_lanes").main(quick=True)
    assert len(out["results"].ranking) == len(out["results"])
    assert np.median(out["apart"]) < 1e-4
    assert out["apart"].max() < 1e-2


def test_every_example_is_in_the_table_and_has_a_test():
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    tests = Path(__file__).read_text(encoding="utf-8")
    assert len(NAMES) == 6
    for name in NAMES:
        assert f"[`{name}.py`]({name}.py)" in table
        assert f'example("{name}")' in tests
