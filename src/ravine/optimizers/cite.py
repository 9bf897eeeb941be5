"""What to cite for an optimizer: the references of all that it is made of."""

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ravine.core.rule import is_rule
from ravine.optimizers.base import Optimizer


def cite(optimizer: Any) -> list[str]:
    """Return the references of an optimizer, of its transforms and of its schedules.

    They are those of the docstrings, each once.

    >>> from ravine.optimizers.adam import AdamW
    >>> for reference in cite(AdamW(1e-3)):
    ...     print(reference)
    Loshchilov and Hutter, Decoupled weight decay regularization, 2017,
      https://arxiv.org/abs/1711.05101
    Kingma and Ba, Adam, 2014, https://arxiv.org/abs/1412.6980
    Dozat, Incorporating Nesterov momentum into Adam, 2016
    """
    found: dict[str, str] = {}
    for part in _parts(optimizer):
        for reference in references(type(part)):
            # The same work may be named in more or fewer words.
            address = re.search(r"https?://\S+", reference)
            found.setdefault(address[0] if address else reference, reference)
    return list(found.values())


def references(cls: type) -> list[str]:
    """The works that the docstring of a class names under ``Reference:``."""
    text = re.search(r"Reference: (.*?)(?:\n\s*\n|$)", inspect.getdoc(cls) or "", re.DOTALL)
    if text is None:
        return []
    found = [" ".join(x.split()).rstrip(".") for x in text[1].split(";")]
    # A remark may stand among them; a work has a year or an address.
    return [x for x in found if re.search(r"\b(19|20)\d\d\b|https?://", x)]


def _parts(x: Any) -> Iterator[Any]:
    """A rule, what it abbreviates, and all the rules in its fields."""
    if isinstance(x, Mapping):
        for value in x.values():
            yield from _parts(value)
    elif isinstance(x, tuple | list):
        for value in x:
            yield from _parts(value)
    elif is_rule(x):
        yield x
        if isinstance(x, Optimizer):
            yield from _parts(x.as_chain())
        else:
            for field in dataclasses.fields(x):
                yield from _parts(getattr(x, field.name))
