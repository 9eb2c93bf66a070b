"""Nothing that others may write is unpickled, evaluated or given to a shell; the repository has no secret."""

import ast
import re
import subprocess
from pathlib import Path

import nbformat
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
OURS = [*ROOT.glob("course_lib/**/*.py"), *ROOT.glob("tools/*.py"), *ROOT.glob("deploy/**/*.py")]
OURS += [*ROOT.glob("benchmarks/*.py"), ROOT / "course.py"]
RUNS_CODE = {"tools/judge.py", "tools/apart.py"}  # grading: students' code, apart, for a limited time
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}
SECRETS = {
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "a token of a host": r"\b(?:ghp|gho|ghs|glpat|hf|pypi)[_-][A-Za-z0-9_-]{20,}",
    "a key of a cloud": r"\bAKIA[0-9A-Z]{16}\b",
    "a password": r"(?i)\b(?:password|passwd|api_?key|secret)\s*[:=]\s*[\"'][^\"'\s{}<>$]{8,}[\"']",
}


def dangers(source: str) -> list[str]:
    """What in a source would run what it reads: the calls, with their lines."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names} | {getattr(node, "module", "") or ""}
            found += [f"{node.lineno}: import {name}" for name in names & MODULES]
        elif isinstance(node, ast.Call):
            name, given = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            wrong = (
                name in ("eval", "exec", "os.system", "os.popen", "yaml.load", "joblib.load")
                or (name == "torch.load" and given.get("weights_only") != "True")
                or (name.endswith("np.load") and given.get("allow_pickle", "False") != "False")
                or given.get("shell", "False") != "False"
            )
            found += [f"{node.lineno}: {name}"] if wrong else []
    return found


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from cloudpickle import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(words, shell=True)",
        "eval(text)",
        "os.system(text)",
    ],
)
def test_the_search_finds_what_it_is_for(line):
    assert dangers(line)


def test_the_search_lets_the_safe_ways_pass():
    assert not dangers("torch.load(f, weights_only=True)\nnp.load(f)\nsubprocess.run(['ls'])\nmodel.eval()")


def test_nothing_that_is_read_is_run():
    found = {}
    for path in OURS:
        if (name := path.relative_to(ROOT).as_posix()) not in RUNS_CODE:
            found[name] = dangers(path.read_text(encoding="utf-8"))
    assert len(found) > 80 and not {name: lines for name, lines in found.items() if lines}


def test_no_cell_of_a_chapter_runs_what_it_reads():
    for path in ROOT.glob("chapters/**/*.ipynb"):
        if ".ipynb_checkpoints" in path.parts:
            continue
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code" and not cell.source.lstrip().startswith("%"):
                assert not dangers(cell.source), path.name


def test_stored_data_hold_numbers_and_texts_only():
    stored = sorted(ROOT.glob("chapters/data/*.npz"))
    assert len(stored) > 20
    for path in stored:
        with np.load(path, allow_pickle=False) as file:
            assert all(file[name].dtype.kind in "biufUS" for name in file.files), path.name


def secrets_in(text: str) -> list[str]:
    return [what for what, pattern in SECRETS.items() if re.search(pattern, text)]


def test_secrets_would_be_found():
    assert secrets_in("-----BEGIN RSA PRIVATE " + "KEY-----") == ["a private key"]
    assert secrets_in("ghp_" + "a1" * 18) == ["a token of a host"]
    assert secrets_in("api_key = " + "'0123456789abc'") == ["a password"]
    assert not secrets_in("cookie_secret_file = str(STATE / 'cookie_secret')")


def test_no_secret_is_in_the_repository():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("this is not a git clone: nothing says which files belong to it")
    for name in tracked.stdout.splitlines():
        path = ROOT / name
        if path.is_file() and path.suffix not in (".npz", ".png", ".pt", ".pdf"):
            assert not secrets_in(path.read_text(encoding="utf-8", errors="ignore")), name
