"""Coverage-guided fuzzing of expressions, by atheris (not in CI; `pip install atheris`).

    python fuzz/expressions.py -max_total_time=600 [folder of inputs that were found before]

Each input is a text: grown by the grammar, made of words of the language, or of anything at all. It must parse and
give a value of the right length, or raise hepda's own ExpressionError; whatever else escapes ends the run, and atheris
keeps the input. An audit hook ends the run as well if, while a text is worked on, Python executes code, imports, opens
a file or starts a process.
"""

from __future__ import annotations

import sys

import atheris
import numpy as np

with atheris.instrument_imports(include=["hepda.events"]):
    from hepda.errors import ExpressionError
    from hepda.events.expressions.columns import Column, Vectors, offsets_of
    from hepda.events.expressions.evaluator import Evaluator
    from hepda.events.expressions.names import check_names
    from hepda.events.expressions.parser import parse
    from hepda.events.expressions.user_functions import find_function, function_names

OFFSETS = offsets_of(np.array([3, 0, 2]))
BRANCHES = {
    "pt": Column(np.array([50.0, 40.0, 30.0, 70.0, 20.0]), OFFSETS),
    "eta": Column(np.array([0.1, 1.0, -1.0, 0.5, 2.0]), OFFSETS),
    "tag": Column(np.array([4, 0, 3, 1, 2]), OFFSETS, np.array([False, False, True, False, False])),
    "met": Column(np.array([1.0, np.nan, np.inf])),
    "Jet.pt": Column(np.array([7.0, 8.0, 9.0]), None, np.array([False, True, False])),
    "big": Column(np.array([2**64 - 1, 2**63, 5], dtype=np.uint64)),
    "small": Column(np.array([3, 0, 9], dtype=np.uint64), None, np.array([False, True, False])),
    "good": Column(np.array([True, False, True])),
    "lost": Column(np.array([1.0, 2.0, 3.0]), offsets_of(np.array([2, 0, 1])), None, np.array([False, True, False])),
}
VARIABLES = {"jets": parse("p4(pt, eta, eta, 5)")}
WORDS = [*BRANCHES, *VARIABLES, *function_names(), *"()[],:+-*/%&|^~<>=.", "**", "//", "==", "!=", "<=", ">=", "and",
         "or", "not", "if", "else", "0", "1", "-1", "2.5", "1e400", "True", "pi", " ", "'a'"]  # fmt: skip
FORBIDDEN = ("exec", "import", "open", "os.", "subprocess.", "socket.", "ctypes.", "shutil.")
armed = False


def _watch(event: str, about: tuple[object, ...]) -> None:
    if armed and event.startswith(FORBIDDEN):
        raise SystemError(f"an expression reached {event} {about[:1]}")


def grown(provider: atheris.FuzzedDataProvider, depth: int) -> str:
    """An expression of the grammar, its choices made by the input."""
    kind = provider.ConsumeIntInRange(0, 7) if depth and provider.remaining_bytes() else 0
    if kind == 0:
        return provider.PickValueInList([*BRANCHES, *VARIABLES, "0", "1", "-1", "2.5", "True", "pi", ":2", "1:"])
    if kind == 1:
        return f"{provider.PickValueInList(['-', '~', 'not '])}({grown(provider, depth - 1)})"
    if kind == 2:
        return f"({grown(provider, depth - 1)})[{grown(provider, depth - 1)}]"
    if kind <= 5:
        function = find_function(provider.PickValueInList(function_names()))
        number = provider.ConsumeIntInRange(*function.arity)
        name = function.usage.split("(")[0]
        return f"{name}({', '.join(grown(provider, depth - 1) for _ in range(number))})"
    operator = provider.PickValueInList(["+", "-", "*", "/", "//", "%", "**", "&", "|", "^", "<", "==", "and", "or"])
    return f"(({grown(provider, depth - 1)}) {operator} ({grown(provider, depth - 1)}))"


def text_of(data: bytes) -> str:
    """A text: grown by the grammar, of words of the language, or of anything."""
    provider = atheris.FuzzedDataProvider(data)
    kind = provider.ConsumeIntInRange(0, 3)
    if kind >= 2:
        return grown(provider, 6)
    if kind == 1:
        return provider.ConsumeUnicodeNoSurrogates(provider.remaining_bytes())
    return "".join(WORDS[provider.ConsumeIntInRange(0, len(WORDS) - 1)] for _ in range(min(200, len(data))))


def one_input(data: bytes) -> None:
    """Work on one text; only ExpressionError may come out."""
    global armed
    text = text_of(data)
    armed = True
    try:
        expression = parse(text)
        check_names([expression], VARIABLES, BRANCHES, "a.root")
        value = Evaluator(BRANCHES, VARIABLES, 3).value(expression)
    except ExpressionError as error:
        str(error).encode()
        return
    finally:
        armed = False
    if isinstance(value, Column | Vectors):
        size = len(value.values if isinstance(value, Column) else value)
        if size != (3 if value.offsets is None else value.offsets[-1]):
            raise SystemError(f"{text!r} gave {size} numbers")


if __name__ == "__main__":
    # What is imported where it is first used must be there before the watch begins.
    for warm in ("rapidity(jets[0])", "in_frame(jets, jets[0])", "sort(pair_first(pt))"):
        Evaluator(BRANCHES, VARIABLES, 3).value(parse(warm))
    parse("é")  # Python's own parser takes its table of letters
    sys.addaudithook(_watch)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
