"""The tests of a problem set, run apart from the student's code: they ask it, and see plain data only.

For a student's functions the tests have stand-ins, which send arguments and return what comes back.
So the student's process never holds a hidden test, a reference answer or a comparison.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import warnings
from collections.abc import Callable

from tools import wire

Ask = Callable[
    [str, str | None], str
]  # (name, question or None for a value) → the JSON that `wire.answer` makes
HIDDEN = "### BEGIN HIDDEN TESTS"


class AnswerError(Exception):
    """What a student's code did instead of answering, in one sentence."""


def answer_names(source: str) -> dict[str, bool]:
    """The names that an answer cell defines, and whether each is a function. Give it the stub."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = True
        elif isinstance(node, ast.Assign):
            found |= {
                t.id: False for target in node.targets for t in ast.walk(target) if isinstance(t, ast.Name)
            }
    return found


def stand_in(name: str, ask: Ask) -> Callable:
    """A function that asks the student's function of that name."""

    def call(*args, **options):
        question = json.dumps(wire.encode([list(args), options]))
        return read(name, ask(name, question))

    call.__name__ = name
    return call


def read(name: str, text: str):
    """The value in an answer; raises AnswerError for an error, a changed argument, or what is no answer."""
    try:
        if len(text) > wire.LONGEST:
            raise ValueError("too long")
        form = json.loads(text)
        error, changed = form.get("error"), form.get("changed")
        value = wire.decode(form.get("value"))
    except Exception:
        raise AnswerError(f"{name} gives no readable answer") from None
    if error:
        raise AnswerError(f"{name} stops with {error}")
    if changed:
        raise AnswerError(f"{name} changes an array that it was given: work on a copy")
    return value


def namespace(given: list[str], answers: dict[str, bool], ask: Ask) -> dict:
    """What the tests may use: the cells that the course gave, and stand-ins for the student's functions."""
    names: dict = {}
    for source in given:
        exec(compile(source, "<given>", "exec"), names)
    return names | {name: stand_in(name, ask) for name, is_function in answers.items() if is_function}


def verdict(tests: str, names: dict, answers: dict[str, bool], ask: Ask) -> str | None:
    """None if all tests of a cell pass, else a sentence for the student. No hidden line is in it."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            with warnings.catch_warnings(action="ignore"):
                values = {n: read(n, ask(n, None)) for n, is_function in answers.items() if not is_function}
                exec(compile(tests, "<tests>", "exec"), {**names, **values})
    except AssertionError as error:
        return str(error) or "a test fails"
    except (AnswerError, *speaking(names)) as error:
        return str(error)
    except Exception as error:
        return f"the answer has not the form that the problem asks for ({type(error).__name__}: {error})"[
            :500
        ]
    return None


def speaking(names: dict) -> tuple[type[Exception], ...]:
    """The exception of course_lib.checks.answer, whose message is a sentence for readers."""
    from course_lib.checks.answer import Wrong

    return (Wrong,)
