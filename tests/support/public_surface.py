"""The SDK's public surface as text: names, signatures, public methods. `python -m tests.support.public_surface` prints it."""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from collections.abc import Iterator

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
MODULES = ("headwater", "headwater.testing")


def surface() -> str:
    """One line a name, its public methods and attributes below it."""
    lines = (line for module in MODULES for line in _module(module))
    return "".join(f"{_ADDRESS.sub('', line)}\n" for line in lines)


def _module(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    yield name
    for public in module.__all__:
        value = getattr(module, public)
        if inspect.isclass(value):
            yield from _class(public, value)
        else:
            yield f"  {public}{inspect.signature(value)}"


def _class(name: str, value: type) -> Iterator[str]:
    if issubclass(value, enum.Enum):
        yield f"  {name}: {', '.join(member.name for member in value)}"
        return
    yield f"  class {name}{inspect.signature(value)}"
    for attribute in sorted(vars(value)):
        if attribute.startswith("_"):
            continue
        member = inspect.getattr_static(value, attribute)
        if isinstance(member, classmethod | staticmethod):
            yield f"    {type(member).__name__} {attribute}{inspect.signature(member.__func__)}"
        elif inspect.isfunction(member):
            yield f"    {attribute}{inspect.signature(member)}"
        else:
            yield f"    {attribute}"


if __name__ == "__main__":
    print(surface(), end="")  # noqa: T201 - what it is for
