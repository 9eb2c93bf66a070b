"""How a checker speaks: it tries an attempt on problems of its own and prints one sentence about it."""

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable

import numpy as np


class Wrong(Exception):
    """Raised by a checker, with a sentence that says what is wrong and hints at the mend."""


def checker(test: Callable[[object], str]) -> Callable[[object], None]:
    """Turn test(attempt) into a checker that prints its verdict.

    `test` raises Wrong(sentence), or returns the sentence for a right answer. An attempt that still holds its
    `...` is not run: it is "not attempted yet". An error inside an attempt is reported, not raised.
    `checker.verdict(attempt)` gives ("right" | "wrong" | "not attempted", sentence) for tests.
    """

    def verdict(attempt) -> tuple[str, str]:
        if is_stub(attempt):
            return "not attempted", "not attempted yet"
        try:
            if callable(attempt):
                _refuse_the_library(attempt)
            return "right", test(attempt)
        except Wrong as wrong:
            return "wrong", str(wrong)
        except Exception as error:
            return "wrong", f"your answer stops with {type(error).__name__}: {error}"

    @functools.wraps(test)
    def check(attempt) -> None:
        status, sentence = verdict(attempt)
        print({"right": "✓ ", "wrong": "✗ ", "not attempted": ""}[status] + sentence)

    check.verdict = verdict
    return check


def is_stub(attempt) -> bool:
    """Whether an attempt is `...`, or a function with a statement that is (or gives, or returns) `...`."""
    if attempt is ...:
        return True
    if isinstance(attempt, tuple | list):
        return any(is_stub(part) for part in attempt)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(attempt)))
    except (TypeError, OSError, SyntaxError):
        return False  # a value, or a function without source: run it
    statements = (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return)
    return any(isinstance(node, statements) and _holds_dots(node.value) for node in ast.walk(tree))


def _holds_dots(node) -> bool:
    if isinstance(node, ast.Tuple | ast.List):
        return any(map(_holds_dots, node.elts))
    return isinstance(node, ast.Constant) and node.value is ...


def _refuse_the_library(attempt) -> None:
    """An exercise is there to be written: calling the library's own planner is no answer."""
    known = getattr(attempt, "__globals__", {})
    for name in getattr(getattr(attempt, "__code__", None), "co_names", ()):
        where = str(getattr(known.get(name), "__module__", None) or getattr(known.get(name), "__name__", ""))
        if where.startswith("course_lib.") and not where.startswith("course_lib.worlds"):
            raise Wrong(f"this calls the library's {name}: write the step yourself, that is the exercise.")


def expect(ok: bool, sentence: str) -> None:
    """Raise Wrong(sentence) unless ok."""
    if not ok:
        raise Wrong(sentence)


def close(got, want, sentence: str, tol: float = 1e-6) -> None:
    """Raise Wrong unless got has the shape and, within tol, the numbers of want; says which part is off."""
    if got is None:
        raise Wrong("your function returns nothing: does it end with a return?")
    try:
        got = np.asarray(got, dtype=float)
    except (TypeError, ValueError):
        raise Wrong(f"your answer is {got!r}, which is no number and no array of numbers.") from None
    want = np.asarray(want, dtype=float)
    expect(got.shape == want.shape, f"your answer has shape {got.shape}; {want.shape} is expected.")
    expect(bool(np.isfinite(got).all()), "your answer holds nan or inf.")
    expect(bool(np.abs(got - want).max(initial=0.0) <= tol), sentence)


def numbers(answers, count: int) -> list[float]:
    """The answers as `count` numbers; Wrong if they are anything else."""
    sentence = f"your answers are {answers!r}: give {count} numbers."
    expect(isinstance(answers, tuple | list) and len(answers) == count, sentence)
    try:
        return [float(answer) for answer in answers]
    except (TypeError, ValueError):
        raise Wrong(sentence) from None


def equals(got, mistake, tol: float = 1e-9) -> bool:
    """Whether got has the shape and, within tol, the numbers of what a known mistake gives."""
    if got is None or mistake is None or np.shape(got) != np.shape(mistake):
        return False
    return bool(np.allclose(np.asarray(got, dtype=float), mistake, atol=tol, rtol=0))


def blame(got, mistake, sentence: str, want=None, tol: float = 1e-9) -> None:
    """Wrong(sentence) if got equals what a known mistake gives, unless `want`, the right answer, is the same."""
    if equals(got, mistake, tol) and not (want is not None and equals(mistake, want, max(2 * tol, 1e-6))):
        raise Wrong(sentence)


def unchanged(call: Callable, *arrays: np.ndarray):
    """call(*arrays) on copies; Wrong if it changes one of them."""
    copies = [np.array(x) for x in arrays]
    result = call(*copies)
    for x, y in zip(arrays, copies, strict=True):
        expect(np.array_equal(x, y), "your function changes an array that it was given: work on a copy.")
    return result


def choice(attempt, right: str, why: dict[str, str], praise: str) -> str:
    """Check a letter among several: `why` says for each wrong letter what speaks against it."""
    letter = str(attempt).strip().lower().strip("()")
    expect(
        letter == right or letter in why,
        f"your answer is {attempt!r}: give one of the letters {', '.join(sorted([right, *why]))}.",
    )
    expect(letter == right, why.get(letter, ""))
    return praise
