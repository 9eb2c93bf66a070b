"""The house of course_lib: which room imports which, who may import torch, and how large things are."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
ROOMS = ("worlds", "agents", "meta", "oracles", "show")
MAY_IMPORT = {  # besides itself; `checks` may import everything, and nothing may import `checks`
    "worlds": ("repro",),
    "agents": ("worlds", "repro"),
    "meta": ("worlds", "agents", "repro"),
    "oracles": ("worlds", "agents.planning", "repro"),
    "show": (),
    "repro": (),
    "sweeps": ("repro",),
    "checks": (*ROOMS, "repro"),
}
NEED_TORCH = re.compile(
    r"meta\b.*|oracles\.gradients|agents\.(networks|training|deep_q|policy_gradient|dynamics|mpc)"
    r"|worlds\.(tasks|torch_\w+)|checks\.ch[12]\d\w*"
)
# The guide was 3,000 lines: Part I alone, with its oracles and the search over many trees, takes 4,000; the
# studies of Part III (trainers that keep ten runs side by side, and what is exact there) take as much.
LIBRARY_LINES, FUNCTION_LINES = 10500, 40


def modules(root: Path) -> dict[str, ast.Module]:
    """The syntax tree of each module, by its name inside course_lib, such as `agents.planning`."""
    library = root / "course_lib"
    paths = {path: path.relative_to(library).with_suffix("").parts for path in sorted(library.rglob("*.py"))}
    return {".".join(parts): ast.parse(path.read_text("utf-8")) for path, parts in paths.items()}


def imported(name: str, tree: ast.Module) -> Iterator[str]:
    """What a module imports, at the top or inside a function; `from a import b` counts as a and as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ["course_lib", *name.split(".")][: -node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield from [base, *(f"{base}.{alias.name}" for alias in node.names)]


def starts(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def import_problems(root: Path) -> Iterator[str]:
    trees = modules(root)
    for name, tree in trees.items():
        room = name.split(".")[0]
        if room not in MAY_IMPORT and name != "__init__":
            yield f"{name} stands in no room"
            continue
        wanted = set(imported(name, tree))
        inside = {target.removeprefix("course_lib.") for target in wanted if target.startswith("course_lib.")}
        for target in sorted(inside & set(trees) | {t for t in inside if t in MAY_IMPORT}):
            if (
                "." not in target
                and target in ROOMS
                and any(starts(t, (target,)) and t != target for t in inside)
            ):
                continue  # `from course_lib.agents import planning` is judged as agents.planning
            if not starts(target, (room, *MAY_IMPORT.get(room, ()))):
                yield f"{name} imports {target}"
        if not NEED_TORCH.fullmatch(name):
            torch = {target for target in wanted if starts(target, ("torch",))}
            torch |= {target for target in inside & set(trees) if NEED_TORCH.fullmatch(target)}
            yield from (f"{name} needs torch, through {target}" for target in sorted(torch)[:1])
        if name == "__init__" and any(not is_docstring(node) for node in tree.body):
            yield f"{name} is not empty"


def is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def code_lines(source: str) -> set[int]:
    """The numbers of the lines that hold code: no docstrings, comments or blank lines."""
    silent = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = set(chain(*(range(t.start[0], t.end[0] + 1) for t in tokens if t.type not in silent)))
    words = [node for node in ast.walk(ast.parse(source)) if is_docstring(node)]
    return lines - set(chain(*(range(node.lineno, node.end_lineno + 1) for node in words)))


def size_problems(root: Path) -> Iterator[str]:
    total = 0
    for path in sorted((root / "course_lib").rglob("*.py")):
        source = path.read_text("utf-8")
        lines = code_lines(source)
        name = path.relative_to(root / "course_lib")
        total += len(lines) if name.parts[0] != "checks" else 0  # the checkers are part of the chapters
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = len(lines & set(range(node.lineno, node.end_lineno + 1)))
                if length > FUNCTION_LINES:
                    yield f"{name}: {node.name} has {length} lines (at most {FUNCTION_LINES}, better 25)"
    if total > LIBRARY_LINES:
        yield f"the library has {total} lines of code (at most {LIBRARY_LINES})"


def test_rooms_import_in_one_direction():
    assert "\n".join(import_problems(REPOSITORY)) == ""


def test_sizes():
    assert "\n".join(size_problems(REPOSITORY)) == ""


# The tests of the tests: a house in order, and one broken wall each.

IN_ORDER = {
    "__init__": "",
    "repro": "import numpy",
    "worlds.mdp": '"""A world."""\nimport numpy as np\nfrom course_lib.repro import seed',
    "worlds.tasks": "import torch",
    "agents.__init__": '"""Agents."""',
    "agents.planning": "from course_lib.worlds.mdp import MDP\nfrom course_lib.worlds import mdp",
    "agents.deep_q": "from torch import nn\nfrom course_lib.agents import planning",
    "meta.maml": "import torch.func\nfrom course_lib.agents.deep_q import net",
    "oracles.bandits": "from course_lib.agents.planning import solve\nfrom course_lib.agents import planning",
    "show.boards": "from course_lib.show import style\nfrom . import style",
    "show.style": "import matplotlib",
    "checks.ch03": "from course_lib.agents.planning import solve\nfrom course_lib.checks.answer import check",
    "checks.ch14": "import torch\nfrom course_lib.meta.maml import adapt",
    "checks.answer": "",
}


def house(root: Path, **changes: str) -> Path:
    for name, text in {**IN_ORDER, **changes}.items():
        path = root / "course_lib" / Path(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


def test_a_house_in_order_passes(tmp_path):
    house(tmp_path)
    assert [*import_problems(tmp_path), *size_problems(tmp_path)] == []


@pytest.mark.parametrize(
    "name, text, problem",
    [
        ("worlds.mdp", "from course_lib.agents.planning import solve", "worlds.mdp imports agents.planning"),
        ("worlds.mdp", "from course_lib.agents import planning", "worlds.mdp imports agents.planning"),
        ("worlds.mdp", "import course_lib.agents.planning", "worlds.mdp imports agents.planning"),
        ("worlds.mdp", "from ..agents import planning", "worlds.mdp imports agents.planning"),
        ("worlds.mdp", "def late():\n    from course_lib import agents", "worlds.mdp imports agents"),
        ("agents.planning", "from course_lib.meta.maml import adapt", "agents.planning imports meta.maml"),
        (
            "agents.planning",
            "from course_lib.oracles.bandits import v",
            "agents.planning imports oracles.bandits",
        ),
        ("oracles.bandits", "import course_lib.agents.deep_q", "oracles.bandits imports agents.deep_q"),
        ("oracles.bandits", "from course_lib.meta import maml", "oracles.bandits imports meta.maml"),
        ("show.boards", "from course_lib.worlds.mdp import MDP", "show.boards imports worlds.mdp"),
        ("show.boards", "from course_lib import repro", "show.boards imports repro"),
        ("repro", "from course_lib.show import style", "repro imports show.style"),
        (
            "agents.planning",
            "from course_lib.checks.answer import check",
            "agents.planning imports checks.answer",
        ),
        ("meta.maml", "from course_lib import checks", "meta.maml imports checks"),
        ("worlds.mdp", "import torch", "worlds.mdp needs torch, through torch"),
        ("repro", "def f():\n    from torch import manual_seed", "repro needs torch, through torch"),
        (
            "agents.planning",
            "from course_lib.worlds.tasks import x",
            "agents.planning needs torch, through worlds.tasks",
        ),
        ("checks.ch03", "import torch", "checks.ch03 needs torch, through torch"),
        ("__init__", "from course_lib.worlds import mdp", "__init__ is not empty"),
        ("agents.__init__", "from . import deep_q", "agents.__init__ needs torch, through agents.deep_q"),
        ("extras.things", "", "extras.things stands in no room"),
    ],
)
def test_a_broken_wall_is_found(tmp_path, name, text, problem):
    assert problem in list(import_problems(house(tmp_path, **{name: text})))


def test_long_functions_and_a_large_library_are_found(tmp_path):
    documented = 'def f():\n    """' + "words\n" * 60 + '"""\n' + "    # note\n\n" * 60 + "    x = 1\n" * 39
    house(tmp_path, **{"worlds.mdp": documented})
    assert list(size_problems(tmp_path)) == []
    house(tmp_path, **{"worlds.mdp": documented + "    x = 1\n"})
    assert list(size_problems(tmp_path)) == ["worlds/mdp.py: f has 41 lines (at most 40, better 25)"]
    house(
        tmp_path,
        **{"worlds.mdp": "", "checks.ch03": "x = 1\n" * 9000, "show.style": "x = 1\n" * (LIBRARY_LINES - 20)},
    )
    assert list(size_problems(tmp_path)) == []
    house(tmp_path, **{"show.style": "x = 1\n" * (LIBRARY_LINES + 1)})
    assert len(list(size_problems(tmp_path))) == 1
