"""From the words of a command line to optimizers with spaces in them."""

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple

import ravine.optimizers
from ravine.core.rule import static_fields
from ravine.core.types import Transform
from ravine.optimizers import Optimizer
from ravine.spaces import LogUniform
from ravine.spaces.parse import parse, shortened

USUAL: dict[str, dict[str, Any]] = {
    "sgd": {"learning_rate": LogUniform(1e-4, 10.0), "momentum": 0.9},
    "noisysgd": {"learning_rate": LogUniform(1e-4, 10.0)},
    "adagrad": {"learning_rate": LogUniform(1e-4, 10.0)},
    "adadelta": {"learning_rate": LogUniform(1e-2, 1e3)},
}
"""What to vary, and what to fix, where that differs from a learning rate in [1e-5, 1]."""

_RATES = LogUniform(1e-5, 1.0)
_NOT_BY_NUMBERS = {
    "DPSGD",  # a gradient an example
    "GaussNewton", "LevenbergMarquardt",  # the residuals of the loss
    "MirrorDescent", "ProjectedGradient", "ProximalGradient",  # a set, a penalty, a mirror
}  # fmt: skip
"""Optimizers that need what a command line cannot give."""


class Setting(NamedTuple):
    """One ``--set``: whose field, which field, and what stands there."""

    owner: str
    field: str
    text: str
    value: Any

    def __str__(self) -> str:
        """As it was written."""
        return f"--set {self.text}"


def registry() -> dict[str, type[Optimizer]]:
    """Every optimizer of the package that numbers alone can make, by lower-case name."""
    classes = (getattr(ravine.optimizers, name) for name in ravine.optimizers.__all__)
    return {
        cls.__name__.lower(): cls
        for cls in classes
        if isinstance(cls, type) and issubclass(cls, Optimizer) and cls is not Optimizer
        if not any(f.type is Transform for f in hyperparameters(cls).values())
        if cls.__name__ not in _NOT_BY_NUMBERS
    }


def hyperparameters(cls: type[Optimizer]) -> dict[str, dataclasses.Field[Any]]:
    """The fields of an optimizer by name."""
    return {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]


def choose(names: str, settings: Iterable[str] = ()) -> dict[str, Optimizer]:
    """Make the optimizers called ``names``, with what ``settings`` say in their fields.

    ``names`` is a list such as ``sgd,adam``; ``nag=sgd`` gives one a name of its own, so
    that it can be there twice. A setting is ``field=value``, for all optimizers that have
    the field, or ``optimizer.field=value``. Without one, the learning rate is varied over
    a usual range.

    Raises:
        ValueError: naming what is unknown or out of range, and what comes close.

    >>> choose("adam", ["b1=0.8,0.9", "learning_rate=0.01"])
    {'adam': Adam(learning_rate=0.01, b1=Choice([0.8, 0.9]), b2=0.999, eps=1e-08)}
    """
    classes = _classes(names)
    fields = {label: dict(_usual(cls)) for label, cls in classes.items()}
    for setting in map(_setting, settings):
        for label in _owners(setting, classes):
            fields[label][setting.field] = _value(setting, classes[label])
    return {label: _made(label, cls, fields[label]) for label, cls in classes.items()}


def _classes(names: str) -> dict[str, type[Optimizer]]:
    known, chosen = registry(), {}
    for entry in names.split(","):
        label, _, name = entry.strip().rpartition("=")
        name = name.strip().lower().replace("_", "").replace("-", "")
        label = label.strip() or name
        if name not in known:
            raise ValueError(
                f"there is no optimizer {shortened(entry.strip())}.{closest(name, known)} "
                f"The optimizers are {', '.join(known)}."
            )
        if not label.isidentifier():
            raise ValueError(f"{shortened(label)} cannot name an optimizer: use letters only.")
        if label in chosen:
            raise ValueError(f"{label} is there twice: give one a name of its own, other={name}.")
        chosen[label] = known[name]
    return chosen


def _usual(cls: type[Optimizer]) -> dict[str, Any]:
    """The fields that a sweep fills in by itself."""
    name, rate = cls.__name__.lower(), hyperparameters(cls).get("learning_rate")
    if name in USUAL or rate is None or rate.default is not dataclasses.MISSING:
        return USUAL.get(name, {})
    return {"learning_rate": _RATES}


def _setting(text: str) -> Setting:
    where, equals, value = text.partition("=")
    owner, _, field = where.strip().rpartition(".")
    if not equals or not field or not value.strip():
        raise ValueError(f"--set {shortened(text)}: write field=value, as in learning_rate=0.01.")
    return Setting(owner.strip(), field.strip(), text, value.strip())


def _owners(setting: Setting, classes: dict[str, type[Optimizer]]) -> list[str]:
    """The optimizers that a setting is for."""
    if setting.owner and setting.owner not in classes:
        raise ValueError(
            f"{setting}: {shortened(setting.owner)} is not among the optimizers "
            f"{', '.join(classes)}.{closest(setting.owner, classes)}"
        )
    asked = [setting.owner] if setting.owner else list(classes)
    owners = [label for label in asked if setting.field in hyperparameters(classes[label])]
    if not owners:
        known = list(dict.fromkeys(f for label in asked for f in hyperparameters(classes[label])))
        raise ValueError(
            f"{setting}: there is no hyperparameter {shortened(setting.field)} in "
            f"{', '.join(asked)}.{closest(setting.field, known)} There are {', '.join(known)}."
        )
    return owners


def _value(setting: Setting, cls: type[Optimizer]) -> Any:
    """What stands in the field: a word as it is where the field is no number and no flag."""
    default = hyperparameters(cls)[setting.field].default
    if setting.field in _static(cls) and not isinstance(default, bool | int):
        return None if setting.value.lower() == "none" else setting.value
    try:
        value = parse(setting.value)
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from None
    if isinstance(default, bool) and not isinstance(value, bool):
        raise ValueError(
            f"{setting}: {setting.field} is true or false. To compare the two, name the optimizer "
            f"twice: --optimizers on=NAME,off=NAME --set on.{setting.field}=true."
        )
    return value


def _static(cls: Any) -> tuple[str, ...]:
    return static_fields(cls)


def _made(label: str, cls: type[Optimizer], fields: dict[str, Any]) -> Optimizer:
    for name, field in hyperparameters(cls).items():
        if name not in fields and field.default is dataclasses.MISSING:
            raise ValueError(f"{label} needs its {name}: --set {label}.{name}=VALUE.")
    try:
        return cls(**fields)
    except (TypeError, ValueError) as error:
        where = "" if label == cls.__name__.lower() else f"{label}: "
        raise ValueError(f"{where}{error}") from None


def closest(word: str, known: Iterable[str]) -> str:
    """A question that names what ``word`` may have been meant for, or nothing."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""
