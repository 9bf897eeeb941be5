"""The report in a real browser: what sorting, filtering, pointing and brushing do.

Needs playwright (``pip install playwright``) and a Chromium of the machine's own, or of
playwright's (``playwright install chromium``); skipped where there is none.
"""

import shutil
import sys

import numpy as np
import pytest

from tests.samples import EVIL, sample

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    with playwright.sync_playwright() as started:
        # As root, which containers often are, Chromium has no sandbox.
        switches = ["--no-sandbox"] if sys.platform == "linux" else []
        try:
            browser = started.chromium.launch(executable_path=program, args=switches)
        except playwright.Error as error:
            pytest.skip(f"no browser could be started: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """Opens a result's report in a fresh tab; whatever it complains about fails the test."""

    def opened(results, **settings):
        path = results.report(tmp_path_factory.mktemp("report") / "report.html")
        tab = browser.new_page(**{"viewport": {"width": 1300, "height": 900}} | settings)
        tab.complaints, tab.requests = [], []
        tab.on("console", lambda said: tab.complaints.append(said.text))
        tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.on("request", lambda request: tab.requests.append(request.url))
        tab.goto(path.as_uri())
        tab.wait_for_selector("[data-trial]")
        return tab

    return opened


RESULTS = sample(400)


@pytest.fixture(scope="module")
def shared(opened):
    tab = opened(RESULTS)
    yield tab
    assert tab.complaints == []
    tab.close()


@pytest.fixture
def tab(shared):
    """The report of ``RESULTS`` with nothing selected, sorted by rank."""
    if shared.locator("#reset").is_visible():
        shared.click("#reset")
    shared.mouse.move(0, 0)
    return shared


def shown(tab):
    """The trials in sight in the table, in their order."""
    return tab.eval_on_selector_all(
        "#table [data-place]", "rows => rows.map(row => Number(row.dataset.trial))"
    )


def counted(tab):
    return int(tab.inner_text("#count").split()[0].replace(",", ""))


def sort(tab, name):
    tab.click(f"[data-column={name}] button")
    return tab.get_attribute(f"[data-column={name}]", "aria-sort")


def select(tab, column, text):
    tab.fill(f"[data-filter={column}]", text)
    tab.wait_for_selector("#reset:not([hidden])")


def at(tab, trial):
    """Where a trial's point is."""
    tab.locator("#scatter").scroll_into_view_if_needed()
    place = tab.evaluate(f"report.position({trial})")
    return place["x"], place["y"]


def everywhere(tab):
    """Where the points of all trials are."""
    return tab.evaluate(
        f"Array.from({{ length: {len(RESULTS)} }}, (_, i) => report.position(i))"
        ".map(({ x, y }) => [x, y])"
    )


def test_it_loads_without_a_complaint_and_without_the_network(opened):
    tab = opened(RESULTS)
    assert tab.complaints == []
    assert len([url for url in tab.requests if not url.startswith("data:")]) == 1
    assert tab.inner_text("h1") == "Sweep of sgd, heavy"
    assert shown(tab)[:5] == RESULTS.ranking[:5].tolist()
    tab.close()


def test_the_best_trial_comes_with_its_code(tab):
    tab.click(f"#best [data-trial='{RESULTS.ranking[0]}']")
    code = tab.inner_text("#trial pre")
    best = RESULTS.best
    assert f"SGD(learning_rate={best.optimizer.learning_rate!r}, momentum=" in code
    assert f"results.rerun({best.id})" in code
    known = {}
    exec("\n".join(x for x in code.splitlines() if x.startswith(("from", "optimizer"))), known)
    assert known["optimizer"] == best.optimizer


def test_sorting(tab):
    order = np.argsort(RESULTS.hyperparameters["momentum"], kind="stable")
    assert sort(tab, "momentum") == "ascending"
    assert shown(tab)[:10] == order[:10].tolist()
    assert sort(tab, "momentum") == "descending"
    assert shown(tab)[:10] == order[::-1][:10].tolist()
    # What is no number comes last, upwards and downwards.
    for _ in range(2):
        sort(tab, "value")
        tab.focus("#table")
        tab.keyboard.press("End")
        assert np.isnan(RESULTS.values[shown(tab)[-1]])
    assert sort(tab, "optimizer") == "ascending"
    assert RESULTS.names[shown(tab)[0]] == "heavy"
    sort(tab, "rank")


@pytest.mark.parametrize(
    ("column", "text", "fits"),
    [
        ("learning_rate", "< 1e-3", RESULTS.hyperparameters["learning_rate"] < 1e-3),
        ("learning_rate", "0.01 .. 0.1", None),
        ("momentum", ">= 0.5", RESULTS.hyperparameters["momentum"] >= 0.5),
        ("value", "nan", np.isnan(RESULTS.values)),
        ("value", "!nan", ~np.isnan(RESULTS.values)),
        ("value", "inf", np.isposinf(RESULTS.values)),
        ("steps", "40", RESULTS.steps == 40),
        ("optimizer", "HEAV", RESULTS.names == "heavy"),
        ("optimizer", "!heavy", RESULTS.names == "sgd"),
        ("status", "=pruned", RESULTS.status == "pruned"),
    ],
)
def test_filtering(tab, column, text, fits):
    if fits is None:
        rate = RESULTS.hyperparameters["learning_rate"]
        fits = (rate >= 0.01) & (rate <= 0.1)
    select(tab, column, text)
    assert counted(tab) == fits.sum()
    assert set(shown(tab)) <= set(np.flatnonzero(fits).tolist())


def test_filters_meet_and_go(tab):
    select(tab, "learning_rate", "< 1e-3")
    select(tab, "optimizer", "sgd")
    rate = RESULTS.hyperparameters["learning_rate"]
    assert counted(tab) == np.sum((rate < 1e-3) & (RESULTS.names == "sgd"))
    tab.click("#chips button >> nth=0")
    assert counted(tab) == np.sum(RESULTS.names == "sgd")
    tab.click("#reset")
    assert counted(tab) == len(RESULTS)
    assert tab.input_value("[data-filter=optimizer]") == ""


def test_a_filter_that_means_nothing_is_marked_and_ignored(tab):
    select(tab, "momentum", "much")
    assert tab.get_attribute("[data-filter=momentum]", "aria-invalid") == "true"
    assert counted(tab) == len(RESULTS)


def test_why_trials_ended_filters_too(tab):
    tab.click("[data-end=diverged]")
    assert counted(tab) == np.sum(RESULTS.status == "diverged")
    assert tab.get_attribute("[data-end=diverged]", "aria-pressed") == "true"
    tab.click("[data-end=diverged]")
    assert counted(tab) == len(RESULTS)


@pytest.mark.parametrize("trial", [RESULTS.ranking[0], RESULTS.ranking[-1], 7])
def test_pointing_tells_the_trial(tab, trial):
    tab.mouse.move(*at(tab, trial))
    assert f"trial {trial}" in tab.inner_text("#tip")
    assert RESULTS.names[trial] in tab.inner_text("#tip")
    tab.mouse.move(0, 0)
    assert tab.locator("#tip").is_hidden()


def test_a_click_chooses_a_trial_and_keys_walk_on(tab):
    trial = RESULTS.ranking[0]
    tab.mouse.click(*at(tab, trial))
    assert tab.inner_text("#trial h3").startswith(f"Trial {trial}")
    tab.focus("#scatter")
    tab.keyboard.press("ArrowRight")
    assert f"trial {trial} " not in tab.inner_text("#tip")
    tab.keyboard.press("Enter")
    rate = RESULTS.hyperparameters["learning_rate"]
    chosen = int(tab.inner_text("#trial h3").split()[1])
    assert chosen == np.flatnonzero(rate > rate[trial])[np.argmin(rate[rate > rate[trial]])]


def test_brushing_selects(tab):
    a, b = RESULTS.ranking[0], RESULTS.ranking[40]
    (x0, y0), (x1, y1) = at(tab, a), at(tab, b)
    left, right = min(x0, x1) - 12, max(x0, x1) + 12
    upper, lower = min(y0, y1) - 12, max(y0, y1) + 8
    tab.mouse.move(left, upper)
    tab.mouse.down()
    tab.mouse.move((left + right) / 2, (upper + lower) / 2)
    tab.mouse.move(right, lower)
    tab.mouse.up()
    places = everywhere(tab)

    # Rings of a pixel at the edges are anybody's.
    def inside(d):
        return {
            i for i, (x, y) in enumerate(places)
            if left - d <= x <= right + d and upper - d <= y <= lower + d
            and np.isfinite(RESULTS.values[i])
        }  # fmt: skip

    assert len(inside(-1.5)) <= counted(tab) <= len(inside(1.5))
    assert {a, b} <= inside(-1.5)
    assert set(shown(tab)) <= inside(1.5)
    assert tab.locator("#brush-chip").is_visible()
    tab.focus("#scatter")
    tab.keyboard.press("Escape")
    assert counted(tab) == len(RESULTS)


def test_brushing_takes_the_crosses_on_the_upper_edge(tab):
    crosses = np.flatnonzero(RESULTS.status == "diverged")
    at(tab, 0)  # brings the chart into sight
    places = np.array(everywhere(tab))[crosses]
    (left, top), (right, _) = places.min(axis=0), places.max(axis=0)
    tab.mouse.move(left - 4, top - 5)
    tab.mouse.down()
    tab.mouse.move(left + 20, top + 4)
    tab.mouse.move(right + 4, top + 6)
    tab.mouse.up()
    assert counted(tab) == len(crosses)
    assert set(shown(tab)) <= set(crosses.tolist())


def test_axes_can_be_chosen_and_be_logarithmic(tab):
    tab.select_option("[data-pick=across]", "momentum")
    assert not tab.is_checked("[data-tick='log x']")
    low, high = np.argsort(RESULTS.hyperparameters["momentum"])[[0, -1]]
    assert at(tab, low)[0] < at(tab, high)[0]
    tab.select_option("[data-pick=across]", "learning_rate")
    assert tab.is_checked("[data-tick='log x']")
    x = np.array(everywhere(tab))[:, 0]
    rate = RESULTS.hyperparameters["learning_rate"]
    assert np.corrcoef(x, np.log(rate))[0, 1] > 0.9999
    tab.uncheck("[data-tick='log x']")
    x = np.array(everywhere(tab))[:, 0]
    assert np.corrcoef(x, rate)[0, 1] > 0.9999
    tab.check("[data-tick='log x']")
    # The trials of a word stand side by side, and keep the order of the words.
    tab.select_option("[data-pick=across]", "optimizer")
    x = np.array(everywhere(tab))[:, 0]
    assert len(np.unique(x)) > 300
    assert x[RESULTS.names == "sgd"].max() < x[RESULTS.names == "heavy"].min()
    tab.select_option("[data-pick=across]", "learning_rate")
    for column in ("status", "momentum", "optimizer"):
        tab.select_option("[data-pick=colour]", column)
        assert column in ("status", "optimizer") or "momentum" in tab.inner_text("#scatter-key")


def test_pointing_at_a_curve_tells_the_trial(tab):
    tab.locator("#curves").scroll_into_view_if_needed()
    box = tab.locator("#curves .u-over").bounding_box()
    for y in np.linspace(0.2, 0.95, 12):
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + y * box["height"])
        if tab.locator("#tip").is_visible():
            break
    assert "step 100: loss" in tab.inner_text("#tip")


def test_a_drag_along_an_axis_selects_and_a_click_there_ends_it(tab):
    tab.locator("#ways").scroll_into_view_if_needed()
    box = tab.locator("#ways").bounding_box()
    # Four axes: optimizer, learning rate, momentum, loss.
    x = box["x"] + 70 + 2 * (box["width"] - 120) / 3
    tab.mouse.move(x, box["y"] + 120)
    tab.mouse.down()
    tab.mouse.move(x, box["y"] + 150)
    tab.mouse.move(x, box["y"] + 200)
    tab.mouse.up()
    low, high = map(float, tab.input_value("[data-filter=momentum]").split(".. "))
    assert 0.2 < low < 0.5 < high < 0.8
    momentum = RESULTS.hyperparameters["momentum"]
    assert counted(tab) == np.sum((momentum >= low) & (momentum <= high))
    tab.mouse.move(x - 60, box["y"] + 160)
    assert tab.inner_text("#tip").startswith("trial ")
    tab.mouse.click(x, box["y"] + 160)
    assert counted(tab) == len(RESULTS)


def test_keys_move_through_the_table(tab):
    tab.focus("#table")
    tab.keyboard.press("Home")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowDown")
    assert tab.inner_text("#trial h3").startswith(f"Trial {RESULTS.ranking[2]}")
    tab.keyboard.press("End")
    assert tab.locator("#table [aria-selected=true]").get_attribute("data-place") == "399"


def test_the_table_is_saved_as_selected(tab):
    select(tab, "status", "pruned")
    with tab.expect_download() as download:
        tab.click("#download")
    rows = download.value.path().read_text(encoding="utf-8").splitlines()
    pruned = [i for i in RESULTS.ranking if RESULTS.status[i] == "pruned"]
    assert rows[0].startswith("trial,rank,optimizer,learning_rate")
    assert [int(row.split(",")[0]) for row in rows[1:]] == pruned
    rate = RESULTS.hyperparameters["learning_rate"]
    assert [np.float32(row.split(",")[3]) for row in rows[1:]] == [rate[i] for i in pruned]


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_takes_the_scheme_of_the_system_until_told_otherwise(opened, scheme):
    tab = opened(sample(20), color_scheme=scheme, viewport={"width": 380, "height": 800})
    ground = "el => getComputedStyle(el).backgroundColor.match(/\\d+/g).map(Number)[0] < 100"
    assert tab.eval_on_selector("body", ground) is (scheme == "dark")
    tab.click("#theme")
    assert tab.eval_on_selector("body", ground) is (scheme == "light")
    # On a telephone nothing but tables and code scrolls sideways.
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.complaints == []
    tab.close()


@pytest.mark.parametrize(
    "results",
    [
        sample(12, names=(EVIL, "<img src=x onerror=alert(1)>")),
        sample(1, names=("",)),
        sample(3, values=np.full(3, np.nan, np.float32), history=np.full((3, 0), 0.0)),
        sample(30, values=np.linspace(-3, 2, 30)),
        sample(9, values=np.zeros(9), swept={"sgd": (), "heavy": ()}, hyperparameters={}),
    ],
    ids=["evil", "one", "lost", "negative", "nothing-swept"],
)
def test_unusual_results_have_pages_too(opened, results):
    tab = opened(results)
    assert tab.locator("#table [data-place]").count() == len(results)
    assert tab.locator("img").count() == 0
    for column in ("value", "status"):
        sort(tab, column)
    tab.select_option("[data-pick=across]", "status")
    assert tab.complaints == []
    tab.close()


def test_a_hundred_thousand_trials_are_quick(opened):
    results = sample(100_000)
    tab = opened(results)
    loaded = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    took = "name => { const from = performance.now(); document.querySelector(name).click();"
    took += " return performance.now() - from; }"
    sorting = tab.evaluate(took, "[data-column=momentum] button")
    assert shown(tab)[0] == np.argmin(results.hyperparameters["momentum"])
    assert tab.locator("#table [data-place]").count() < 60
    filtering = tab.evaluate(took, "[data-end=pruned]")
    assert counted(tab) == np.sum(results.status == "pruned")
    assert tab.complaints == []
    # Some ten times what they take on two slow cores without a graphics card.
    assert loaded < 15_000
    assert sorting < 2_000
    assert filtering < 2_000
    tab.close()
