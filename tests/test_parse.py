"""Numbers, flags and spaces as one writes them on a command line."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ravine.core.types import Space
from ravine.spaces import Choice, Grid, IntUniform, LogGrid, LogUniform, Normal, Uniform
from ravine.spaces.parse import EXAMPLES, FORMS, parse, shortened


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("1e-4", 1e-4),
        (" +0.5 ", 0.5),
        ("true", True),
        ("False", False),
        ("NONE", None),
        ("2147483646", 2147483646),
        ("2147483647", 2147483647.0),
    ],
)
def test_numbers_and_words(text, value):
    parsed = parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("loguniform(1e-4, 1)", LogUniform(1e-4, 1.0)),
        ("LogUniform(low=1e-4, high=1.0)", LogUniform(1e-4, 1.0)),
        ("log_uniform(1e-4,1)", LogUniform(1e-4, 1.0)),
        ("uniform(-1, 1)", Uniform(-1.0, 1.0)),
        ("normal()", Normal()),
        ("normal(2, std=0.5)", Normal(2.0, 0.5)),
        ("intuniform(-1, 6)", IntUniform(-1, 6)),
        ("loggrid(1e-3, 1, 4)", LogGrid(1e-3, 1.0, 4)),
        ("0.8,0.9", Choice([0.8, 0.9])),
        ("[0.8, 0.9]", Choice([0.8, 0.9])),
        ("choice(0.8, 0.9)", Choice([0.8, 0.9])),
        ("choice([0.8, 0.9])", Choice([0.8, 0.9])),
        ("grid(1)", Grid([1])),
    ],
)
def test_spaces(text, space):
    assert parse(text) == space


@pytest.mark.parametrize("text", list(EXAMPLES))
def test_examples_are_read(text):
    assert isinstance(parse(text), FORMS[text.partition("(")[0]])


def test_every_form_has_an_example():
    assert {text.partition("(")[0] for text in EXAMPLES} == set(FORMS)


@pytest.mark.parametrize("space", [LogUniform(1e-4, 1.0), Choice([0.5, 2.0]), LogGrid(0.1, 1.0, 3)])
def test_what_a_space_prints_can_be_read(space):
    assert parse(repr(space)) == space


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "cannot read ''"),
        ("adam", "cannot read 'adam'"),
        ("1e-3x", "cannot read"),
        ("(((", "cannot read"),
        ("1+1", "cannot read"),
        ("0.1,true", "cannot read"),
        ("'0.1'", "cannot read"),
        ("1j", "cannot read"),
        ("a\0b", "cannot read"),
        ("(" * 500 + "1", "cannot read"),
        ("nan", "must be finite"),
        ("-inf", "must be finite"),
        ("0.1,inf", "must be finite"),
        ("1e39", "single precision"),
        ("1e-39", "single precision"),
        ("1" * 400, "single precision"),
        ("logunifrom(1, 2)", "Did you mean loguniform?"),
        ("beta(1, 2)", "Spaces are loguniform"),
        ("rv.LogUniform(1, 2)", "is no space"),
        ("loguniform(1)", "should look like loguniform(1e-4, 1)"),
        ("loguniform(1, 2, 3)", "should look like"),
        ("loguniform(1, hi=2)", "should look like"),
        ("loguniform(*[1, 2])", "cannot read"),
        ("loguniform(1, none)", "cannot read"),
        ("loguniform(1, grid(2))", "cannot read"),
        ("loguniform(1, 0.1)", "low must not exceed high"),
        ("loguniform(0, 1)", "greater than 0"),
        ("uniform(2, 1)", "low must not exceed high"),
        ("normal(0, 0)", "greater than 0"),
        ("intuniform(0.5, 3)", "low must be a whole number"),
        ("intuniform(1, 2147483647)", "high must be a whole number"),
        ("loggrid(0.1, 1, 2.5)", "n must be an int"),
        ("loggrid(0.1, 1, 0)", "n must be at least 1"),
        ("choice()", "should look like choice(0.8, 0.9, 0.95)"),
        ("choice([])", "should look like"),
        ("choice([1], 2)", "should look like"),
        ("choice(options=[1])", "should look like"),
        ("grid(1, (2, 3))", "cannot read"),
    ],
)
def test_what_cannot_be_read_is_said(text, told):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        parse(text)
    assert told in str(caught.value)


@given(st.text(max_size=30) | st.from_regex(r"[a-z]{0,10}\([-+0-9.e, \[\]=a-z()]{0,20}\)?"))
@example("0if 1else 2")
@example("\udcff")
def test_any_text_is_read_or_refused(text):
    try:
        value = parse(text)
    except ValueError:
        return
    assert value is None or isinstance(value, bool | int | float | Space)


def test_long_texts_are_shortened():
    assert shortened("abc") == "'abc'"
    assert shortened("x" * 100, 10) == "'xxxxx...xxxxx'"
