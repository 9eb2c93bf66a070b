"""Problem sets: their tests accept every right answer we can think of, and refuse plausible wrong ones."""

import re
import runpy
import signal
from pathlib import Path

import numpy as np
import pytest

from tools import judge, problem_sets, wire

SAMPLES = Path(__file__).resolve().parent.parent / "instructor" / "problem_sets"
SETS = {problems.name: problems for problems in problem_sets.find(SAMPLES, [])}
WAIT = 4  # seconds of computing after which an answer counts as one that never ends


class Hang(BaseException):
    pass


def variants(name: str) -> dict:
    return runpy.run_path(str(SETS[name].folder / "variants.py"))


def changed(problem: problem_sets.Problem, change: str | tuple[str, str]) -> str:
    """The code of a variant: a whole answer, or the solution with one thing replaced."""
    if isinstance(change, str):
        return change
    old, new = change
    assert old in problem.solution, f"{problem.name}: the solution does not hold {old!r}"
    return problem.solution.replace(old, new)


def attempt(
    problems: problem_sets.ProblemSet, problem: problem_sets.Problem, code: str, cast=None
) -> str | None:
    """The verdict on an answer, asked through the same JSON as a kernel is; None if it passes."""
    names: dict = {}
    for source in [*problems.given, code]:
        exec(compile(source, "<student>", "exec"), names)
    if cast:
        names |= {
            name: after(names[name], cast) for name, is_function in problem.names.items() if is_function
        }

    def ask(name, question):
        return wire.answer(names, name, question)

    trusted = judge.namespace(problems.given, problem.names, ask)
    return in_time(lambda: judge.verdict(problem.tests, trusted, problem.names, ask))


def in_time(call):
    def ring(*_):
        raise Hang

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, WAIT)
    try:
        with np.errstate(all="ignore"):
            return call()
    except Hang:
        return "it does not end"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def after(function, cast):
    return lambda *args, **options: cast(function(*args, **options))


def parts(cast):
    """A cast that goes into tuples and lists of arrays, but leaves their own form alone."""

    def apply(value):
        if isinstance(value, tuple):
            return tuple(apply(item) for item in value)
        return cast(np.asarray(value)) if isinstance(value, np.ndarray | np.generic | float | int) else value

    return apply


CASTS = {
    "as it is": None,
    "lists": parts(lambda x: x.tolist()),
    "float32": parts(lambda x: x.astype(np.float32) if x.dtype == np.float64 else x),
    "tuples become lists": lambda value: list(value) if isinstance(value, tuple) else value,
    "arrays of one number": parts(lambda x: x if x.ndim else np.float64(x)),
}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs Unix signals, to end what never ends")
@pytest.mark.parametrize("name", SETS)
def test_right_answers_pass(name):
    problems, right = SETS[name], variants(name)["RIGHT"]
    assert right.keys() == {problem.name for problem in problems.problems}
    for problem in problems.problems:
        for label, cast in CASTS.items():
            assert attempt(problems, problem, problem.solution, cast) is None, (problem.name, label)
        for label, change in right[problem.name].items():
            assert attempt(problems, problem, changed(problem, change)) is None, (problem.name, label)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs Unix signals, to end what never ends")
@pytest.mark.one_seed("the tests of a set draw their worlds from seeds that are part of it")
@pytest.mark.parametrize("name", SETS)
def test_wrong_answers_are_refused(name, capsys):
    problems, wrong = SETS[name], variants(name)["WRONG"]
    survivors, count = [], 0
    for problem in problems.problems:
        assert len(wrong[problem.name]) >= 10, f"{problem.name}: write ten wrong answers"
        for label, change in wrong[problem.name].items():
            count += 1
            sentence = attempt(problems, problem, changed(problem, change))
            if sentence is None:
                survivors.append((problem.name, label))
            assert sentence is None or sentence.strip(), (problem.name, label)
    with capsys.disabled():
        print(f"\n{name}: {1 - len(survivors) / count:.0%} of {count} wrong answers refused")
    assert not survivors


@pytest.mark.parametrize("name", SETS)
def test_not_attempted_is_refused(name):
    problems = SETS[name]
    for problem in problems.problems:
        stub = "\n".join(line for line in problem.solution.split("\n") if "SOLUTION" not in line)
        stub = re.sub(r"(?s)\.\.\.\n.*", "...", stub)
        assert attempt(problems, problem, stub) is not None, problem.name
