"""The pages name what there is: no more, no less, and nothing twice."""

import inspect
import re
from collections import Counter
from pathlib import Path

import optax
import pytest

import ravine as rv
from ravine import optimizers, schedules, transforms

ROOT = Path(__file__).resolve().parents[1]
CHOOSING, COMING = ROOT / "docs" / "optimizers.md", ROOT / "docs" / "optax.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

# What Optax has besides parts of optimizers, wrappers, schedules and projections.
LOSSES = {
    "convex_kl_divergence", "cosine_distance", "cosine_similarity", "ctc_loss",
    "ctc_loss_with_forward_probs", "generalized_kl_divergence", "hinge_loss", "huber_loss",
    "kl_divergence", "l2_loss", "log_cosh", "ntxent", "safe_softmax_cross_entropy",
    "sigmoid_binary_cross_entropy", "sigmoid_focal_loss", "smooth_labels", "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels", "squared_error",
}  # fmt: skip
TYPES = {
    "MaskOrFn", "OptState", "Params", "ScalarOrSchedule", "Schedule", "ShouldSkipUpdateFunction",
    "TransformInitFn", "TransformUpdateExtraArgsFn", "TransformUpdateFn", "Updates",
    "ZoomLinesearchInfo", "ApplyEvery",
}  # fmt: skip
UTILITIES = {
    "bias_correction", "matrix_inverse_pth_root", "microbatch", "multi_normal", "nnls",
    "power_iteration", "safe_increment", "safe_int32_increment", "safe_norm",
    "safe_root_mean_squares", "scale_gradient", "update_infinity_moment", "update_moment",
    "update_moment_per_elem_norm",
}  # fmt: skip


def rows(page):
    """The first cell of every row of every table."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^\| `([\w.]+)` \|", text, flags=re.MULTILINE)


def public(module, prefix):
    return [f"{prefix}.{name}" for name in module.__all__]


def test_everything_stands_in_the_tables_once():
    text = CHOOSING.read_text(encoding="utf-8")
    parts = re.findall(r"^Parts: .*?(?=\n\n)", text, flags=re.MULTILINE | re.DOTALL)
    table = rows(CHOOSING)
    # A list of parts may point to what has a row of its own.
    listed = [x for x in re.findall(r"`(rv\.\w+)`", "\n".join(parts)) if x not in table]
    counted = Counter([*table, *listed])
    there = {
        *public(optimizers, "rv"),
        *public(transforms, "rv"),
        *public(schedules, "rv.schedules"),
    }
    assert there - set(counted) == set(), "without a row in docs/optimizers.md"
    assert set(counted) - there == set(), "a row in docs/optimizers.md, and no public name"
    assert [name for name, n in counted.items() if n > 1] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_named_exists(page):
    for name in set(re.findall(r"\brv((?:\.[A-Za-z]\w*)+)", page.read_text(encoding="utf-8"))):
        found = rv
        for part in name[1:].split("."):
            assert hasattr(found, part), f"rv{name} in {page.name}"
            found = getattr(found, part)


def test_everything_of_optax_has_a_row():
    text = COMING.read_text(encoding="utf-8")
    version = re.search(r"about Optax\s+(\d[\d.]*\d)", text)
    if optax.__version__ != version[1]:
        pytest.skip(f"the page is about Optax {version[1]}, and this is {optax.__version__}")
    theirs = {
        name
        for module in (optax, optax.contrib, optax.projections)
        for name, x in vars(module).items()
        if not (name.startswith("_") or name.endswith("State") or inspect.ismodule(x))
    }
    theirs |= {"EmptyState"}
    left_out = LOSSES | TYPES | UTILITIES
    named = rows(COMING)
    assert theirs - left_out - set(named) == set(), "without a row in docs/optax.md"
    assert left_out & set(named) == set(), "left out, and yet there"
    assert [name for name, n in Counter(named).items() if n > 1] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{link} in {page.name}"
        assert not anchor or anchor in anchors(target), f"{link} in {page.name}"


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
