"""A figure that is not drawn yet: a drawing function and what it draws, written as text and read from it.

The text is JSON, and has all digits. A run directory keeps one for each figure, so that a figure can be drawn later,
in other formats, or not again if nothing has changed; and so that the numbers of a figure can be read elsewhere.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib
import json
import math
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from hepda.errors import DataError
from hepda.results.record import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")
Json = Any
"""What json.dumps takes."""

DRAWS = "draws a figure of hepda"
"""The attribute of functions that may draw a figure: a text names its function, and no other may be called."""
_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@dataclass(frozen=True, slots=True, eq=False)
class Plot:
    """A drawing function of a module, decorated by `styled`, with its arguments.

    The arguments are numbers, texts, arrays, the types of results, other dataclasses of hepda, and lists, tuples and
    mappings of these. They should be small: histograms instead of events.
    """

    function: Callable[..., Figure]
    arguments: Sequence[Any] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(function: Callable[P, Figure], *args: P.args, **kwargs: P.kwargs) -> Plot:
        """Return the plot that calls function(*args, **kwargs)."""
        return Plot(function, args, kwargs)

    def draw(self) -> Figure:
        """Draw the figure."""
        return self.function(*self.arguments, **self.options)

    def to_text(self) -> str:
        """Return function and arguments as JSON.

        Raises:
            TypeError: an argument is of a type that cannot be written, or the function does not belong to a module.

        """
        content = {
            "function": _name_of(self.function),
            "arguments": [_encode(value) for value in self.arguments],
            "options": {name: _encode(value) for name, value in self.options.items()},
        }
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"

    @classmethod
    def from_text(cls, text: str) -> Plot:
        """Read what `to_text` returned.

        Raises:
            DataError: the text is of something else, or of another version of hepda.

        """
        try:
            content = json.loads(text)
            function = _checked(content["function"], lambda found: hasattr(found, DRAWS))
            arguments = [_decode(value) for value in content["arguments"]]
            options = {name: _decode(value) for name, value in content["options"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, ImportError, zlib.error) as error:
            raise DataError(f"the data of the figure cannot be read ({type(error).__name__}: {error})") from error
        return cls(function, arguments, options)


@lru_cache(maxsize=1)
def drawing_version() -> str:
    """Return a checksum of all that determines a picture besides its data: the code that draws, and matplotlib."""
    import matplotlib as mpl

    digest = hashlib.sha256(mpl.__version__.encode())
    for page in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(page.read_bytes())
    return digest.hexdigest()[:16]


def _name_of(thing: Any) -> str:
    name = f"{thing.__module__}:{thing.__qualname__}"
    if "<" in name:
        raise TypeError(f"{name} does not belong to a module; what a figure is made of must be found by its name")
    return name


def _found(name: str) -> Any:
    """Return the function or class of a name, of hepda or of a module that is imported already."""
    module, _, qualname = name.partition(":")
    if not module.startswith("hepda.") and module not in sys.modules:
        raise ValueError(f"{module} is no module of hepda")
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def _checked(name: str, is_allowed: Callable[[Any], bool]) -> Any:
    """Return the function or class of a name if a text may name it."""
    found = _found(name)
    if not is_allowed(found):
        raise ValueError(f"{name} is nothing that a figure is made of")
    return found


def _encode(value: Any) -> Json:
    """Return a value as JSON; what JSON does not have is a mapping with one key that begins with `$`."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic):
        return _encode(value.item())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": str(float(value))}
    if isinstance(value, np.ndarray):
        return _encode_array(value)
    if isinstance(value, Record):
        return {"$record": _name_of(type(value)), "content": _encode(value.to_json())}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [entry.name for entry in dataclasses.fields(value) if entry.init]
        return {"$class": _name_of(type(value)), "fields": {name: _encode(getattr(value, name)) for name in names}}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _encode(item) for key, item in value.items()}
        return {"$items": [[_encode(key), _encode(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        parts = [_encode(item) for item in value]
        return {"$named": _name_of(type(value)), "parts": parts} if hasattr(value, "_fields") else {"$tuple": parts}
    if isinstance(value, list):
        return [_encode(item) for item in value]
    raise TypeError(f"a figure cannot be kept with an argument of type {type(value).__name__}")


def _encode_array(values: np.ndarray[Any, Any]) -> Json:
    kind = values.dtype.kind
    about = {"dtype": values.dtype.str, "shape": list(values.shape)}
    if kind == "u" and values.dtype.itemsize == 1:  # pixels
        return {"$pixels": base64.b64encode(zlib.compress(values.tobytes())).decode("ascii"), **about}
    if kind not in "biufU":
        raise TypeError(f"a figure cannot be kept with an array of type {values.dtype}")
    numbers = values.ravel().tolist()
    if kind == "f" and not np.isfinite(values).all():
        numbers = [x if math.isfinite(x) else None if math.isnan(x) else str(x) for x in numbers]
    return {"$array": numbers, **about}


def _decode(value: Json) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    marks = [key for key in value if key.startswith("$")]
    if not marks:
        return {key: _decode(item) for key, item in value.items()}
    content = value[marks[0]]
    match marks[0]:
        case "$float":
            return _FLOATS[content]
        case "$tuple":
            return tuple(_decode(item) for item in content)
        case "$items":
            return {_decode(key): _decode(item) for key, item in content}
        case "$array":
            return np.array(content, dtype=np.dtype(value["dtype"])).reshape(value["shape"])
        case "$pixels":
            pixels = np.frombuffer(zlib.decompress(base64.b64decode(content)), dtype=np.dtype(value["dtype"]))
            return pixels.reshape(value["shape"])
        case "$record":
            kind = _checked(content, lambda found: issubclass(found, Record))
            return kind.from_json(_decode(value["content"]))
        case "$class":
            kind = _checked(content, dataclasses.is_dataclass)
            return kind(**{name: _decode(item) for name, item in value["fields"].items()})
        case "$named":
            kind = _checked(content, lambda found: issubclass(found, tuple) and hasattr(found, "_fields"))
            return kind(*(_decode(item) for item in value["parts"]))
    raise ValueError(f"{marks[0]} is unknown")
