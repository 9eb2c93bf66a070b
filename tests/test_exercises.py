"""Exercises: stubs are not attempted, solutions are right, broken solutions are refused with a sentence."""

import ast
import copy
import signal
from pathlib import Path

import nbformat
import numpy as np
import pytest

from course_lib.checks import answer

CHAPTERS = Path(__file__).parent.parent / "chapters"
SOLUTIONS = sorted((CHAPTERS / "solutions").glob("*.ipynb"))
WAIT = 1.5  # seconds of computing after which a broken solution is refused: a reader would see it hang
RIGHT_TOO = {  # changes that leave a solution right, each with the reason
    "interval: constant: 1 + 1",  # ddof=2: the checker asks for two per cent, either convention will do
    "value_iteration_within: missing gamma",  # in the bound: 1/(1 − γ) is larger, the promise still holds
}


def checks(notebook: Path) -> list[str]:
    """What the check cells of a stored notebook print, a line each."""
    cells = nbformat.read(notebook, 4).cells
    outputs = [o for c in cells if c.cell_type == "code" and "check." in c.source for o in c.outputs]
    return [line for o in outputs if o.output_type == "stream" for line in o.text.splitlines()]


def exercises(notebook: Path) -> list[str]:
    cells = nbformat.read(notebook, 4).cells
    return [c.source for c in cells if c.cell_type == "code" and "\ncheck." in c.source]


def given(notebook: Path) -> list[set[str]]:
    """For each exercise the lines of its stub, which are not the reader's."""
    return [set(source.splitlines()) for source in exercises(CHAPTERS / notebook.name)]


@pytest.mark.parametrize("notebook", SOLUTIONS, ids=lambda p: p.stem)
def test_stubs_are_not_attempted_and_solutions_are_right(notebook):
    stubs, solved = checks(CHAPTERS / notebook.name), checks(notebook)
    assert len(stubs) == len(solved) == len(exercises(notebook)) >= 2
    assert all(line == "not attempted yet" for line in stubs), stubs
    assert all(line.startswith("✓ ") for line in solved), solved


class Hang(Exception):
    pass


def run(body: list[ast.stmt], call: ast.Call, names: dict) -> tuple[str, str]:
    """The verdict on a changed solution: run its body among the notebook's names, then ask the checker."""
    names = dict(names)

    def ring(*_):
        raise Hang

    signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, WAIT)
    try:
        with np.errstate(all="ignore"):
            exec(compile(ast.Module(body, []), "<mutant>", "exec"), names)
            attempt = eval(compile(ast.Expression(call.args[0]), "<mutant>", "eval"), names)
            return getattr(names["check"], call.func.attr).verdict(attempt)
    except Hang:
        return "wrong", "it does not end"
    except Exception as error:
        return "wrong", f"{type(error).__name__}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def mutants(body: list[ast.stmt], mine: set[int]):
    """Copies of the code, each with one thing changed in the lines `mine`, as (what was done, body)."""
    for path, change, words in _changes(ast.Module(body, []), mine):
        tree = copy.deepcopy(ast.Module(body, []))
        node = tree
        for step in path[:-1]:
            node = getattr(node, step) if isinstance(step, str) else node[step]
        last = path[-1]
        if isinstance(last, str):
            setattr(node, last, change)
        else:
            node[last] = change
        yield words, ast.fix_missing_locations(tree).body


SWAP = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
TURN = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.Gt, ast.GtE: ast.Lt}
ENDS = ("terminated", "terminal", "truncated", "end", "ended")
RENAME = {"max": ["min", "mean"], "argmax": ["argmin"], "sum": ["mean"], "mean": ["sum"], "std": ["var"]}


def _changes(tree: ast.AST, mine: set[int]):
    for path, node in _walk(tree, ()):
        if getattr(node, "lineno", 0) not in mine:
            continue
        was = ast.unparse(node) if isinstance(node, ast.expr | ast.stmt) else ""
        if isinstance(node, ast.BinOp) and type(node.op) in SWAP:
            yield path, ast.BinOp(node.left, SWAP[type(node.op)](), node.right), f"operator: {was}"
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in TURN:
            yield (
                path,
                ast.Compare(node.left, [TURN[type(node.ops[0])]()], node.comparators),
                f"turned: {was}",
            )
        elif was.split(".")[-1] == "gamma" and isinstance(getattr(node, "ctx", None), ast.Load):
            yield path, ast.Constant(1.0), "missing gamma"
        elif was in ENDS and isinstance(getattr(node, "ctx", None), ast.Load):
            yield path, ast.BinOp(node, ast.BitAnd(), ast.Constant(False)), f"ignored: {was}"
        elif isinstance(node, ast.Constant) and type(node.value) is bool:  # create_graph, keepdims, …
            yield path, ast.Constant(not node.value), f"not {was}"
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            yield path, ast.Constant(node.value + 1), f"constant: {was} + 1"
        elif isinstance(node, ast.Attribute) and node.attr in RENAME:
            for name in RENAME[node.attr]:
                yield path, ast.Attribute(node.value, name, node.ctx), f"{node.attr} for {name}: {was}"
        elif isinstance(node, ast.Attribute) and node.attr == "T":
            yield path, node.value, f"not transposed: {was}"
        elif isinstance(node, ast.UnaryOp):
            yield path, node.operand, f"sign or not dropped: {was}"


def _walk(node, path):
    yield path, node
    for field, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            yield from _walk(value, (*path, field))
        elif isinstance(value, list):
            for i, item in enumerate(value):
                if isinstance(item, ast.AST):
                    yield from _walk(item, (*path, field, i))


def names_of(notebook: Path) -> dict:
    """The names that a solutions notebook has when it has run."""
    names = {}
    for cell in nbformat.read(notebook, 4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, str(notebook), "exec"), names)
    return names


@pytest.mark.parametrize("notebook", SOLUTIONS, ids=lambda p: p.stem)
def test_broken_solutions_are_refused(notebook, monkeypatch, capsys):
    monkeypatch.chdir(notebook.parent)
    names, refused, survivors = names_of(notebook), 0, []
    for source, stub in zip(exercises(notebook), given(notebook), strict=True):
        *body, last = ast.parse(source).body
        mine = {n for n, line in enumerate(source.splitlines(), 1) if line not in stub}
        for words, changed in mutants(body, mine):
            status, sentence = run(changed, last.value, names)
            assert sentence.strip(), words
            if status != "right":
                refused += 1
            elif (name := f"{last.value.func.attr}: {words}") not in RIGHT_TOO:
                survivors.append(name)
    score = refused / (refused + len(survivors))
    with capsys.disabled():
        print(f"\n{notebook.stem}: {score:.0%} of {refused + len(survivors)} broken solutions refused")
    assert score >= 0.95, survivors


def test_the_library_is_no_answer():
    from course_lib.checks import ch03

    names = {}
    exec(
        "from course_lib.agents import planning\ndef repaired(P, R, gamma): return planning.solve(P)[0]",
        names,
    )
    status, sentence = ch03.repaired_value_iteration.verdict(names["repaired"])
    assert status == "wrong" and "write" in sentence


def test_a_stub_is_recognised():
    assert answer.is_stub(...)
    assert answer.is_stub((1, ...))
    assert not answer.is_stub(3.0)


def test_an_error_in_an_attempt_is_reported_not_raised():
    from course_lib.checks import ch03

    def attempt(P, R, gamma):
        raise ZeroDivisionError("boom")

    status, sentence = ch03.repaired_value_iteration.verdict(attempt)
    assert status == "wrong" and "ZeroDivisionError" in sentence
