"""course.py, on a made-up tree whose pip, JupyterLab, ruff and pytest only note how they were called."""

import ast
import contextlib
import fnmatch
import importlib.util
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
AWKWARD = "从 Bellman 到 meta-RL (2)"
INTERPRETER = "Scripts/python.exe" if os.name == "nt" else "bin/python"
NOTE = """
import json, os, sys
with open(os.environ["CALLS"], "a", encoding="utf-8") as calls:
    call = {"name": __spec__.parent, "arguments": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ)}
    print(json.dumps(call), file=calls)
"""
FAKES = {
    "pip/__init__.py": "",
    "pip/_internal/__init__.py": "",
    "pip/_internal/cli/__init__.py": "",
    "pip/_internal/cli/main.py": "",
    "pip/__main__.py": NOTE
    + """
import time
half = os.path.join(os.path.dirname(os.path.dirname(__file__)), "half-1.dist-info")
if os.environ.get("PIP_STOPS_HALF_WAY"):
    os.mkdir(half)
time.sleep(float(os.environ.get("PIP_SLEEPS", 0)))
sys.exit("half-1 counts as installed" if os.path.isdir(half) else os.environ.get("PIP_SAYS") or 0)
""",
    "pip-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: pip\nVersion: 1\n",
    "pip-1.dist-info/RECORD": "pip/__init__.py,,\n",
    "pip-1.dist-info/INSTALLER": "pip\n",
    "jupyterlab/__main__.py": NOTE + "sys.exit(7)",
    "ruff/__main__.py": NOTE + "sys.exit(os.environ.get('RUFF') == sys.argv[1])",
    "pytest/__main__.py": NOTE
    + """
print('3 passed in 0.01s: ' + ' '.join(sys.argv[1:]))
sys.exit(os.environ.get('PYTEST') in ('all', *sys.argv[1:]))
""",
}
# Stands before the standard library's venv, which takes seconds.
FAST_VENV = """
import os, shutil, sys
shutil.rmtree(sys.argv[2], ignore_errors=True)
if os.environ.get("VENV_FAILS"):
    sys.exit("Error: ensurepip returned non-zero exit status 1")
shutil.copytree(os.environ["TEMPLATE"], sys.argv[2], symlinks=True)
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A virtual environment that holds nothing but the fakes."""
    home = tmp_path_factory.mktemp("template") / "venv"
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.check_output([home / INTERPRETER, "-c", code], text=True).strip()
    for name, text in FAKES.items():
        (Path(packages) / name).parent.mkdir(parents=True, exist_ok=True)
        (Path(packages) / name).write_text(text, encoding="utf-8")
    return home


class Tree:
    """A copy of the course's outer files; `run` is what a reader types."""

    def __init__(self, root: Path, template: Path):
        self.root, self.calls_file = root, root.parent / "calls"
        for name in ("course.py", "constraints.txt", "pyproject.toml", "deploy/lab"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
            copy(REPOSITORY / name, root / name)
        for name in ("chapters", "tools", "elsewhere"):
            (root / name).mkdir()
        (root / "tools/build.py").write_text(NOTE + "if __name__ == '__main__': sys.exit(3)")
        (root / "tools/helper.py").write_text("")
        (root.parent / "shadow").mkdir()
        (root.parent / "shadow/venv.py").write_text(FAST_VENV)
        self.env = {"CALLS": str(self.calls_file), "TEMPLATE": str(template)}
        self.env["PYTHONPATH"] = str(root.parent / "shadow")

    def start(self, *arguments: str, **env: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, str(self.root / "course.py"), *arguments],
            cwd=self.root / "elsewhere",
            env={**os.environ, **self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )

    def run(self, *arguments: str, **env: str) -> tuple[int, str]:
        process = self.start(*arguments, **env)
        output, _ = process.communicate(timeout=60)
        assert "Traceback" not in output
        return process.returncode, output

    def calls(self, name: str) -> list[dict]:
        lines = self.calls_file.read_text("utf-8").splitlines() if self.calls_file.exists() else []
        return [call for call in map(json.loads, lines) if call["name"] == name]

    @property
    def stamp(self) -> Path:
        return self.root / ".venv/course-stamp.txt"


@pytest.fixture
def tree(tmp_path, template) -> Tree:
    return Tree(tmp_path / AWKWARD, template)


def module():
    """course.py, imported."""
    spec = importlib.util.spec_from_file_location("course_script", REPOSITORY / "course.py")
    course = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(course)
    return course


# What it is


def test_standard_library_only_and_short():
    source = (REPOSITORY / "course.py").read_text("utf-8")
    names = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [])
        + ([node.module] if isinstance(node, ast.ImportFrom) else [])
    }
    assert names <= set(sys.stdlib_module_names)
    assert len(source.splitlines()) <= 282


def test_python_3_6_can_parse_it():
    ast.parse((REPOSITORY / "course.py").read_text("utf-8"), feature_version=(3, 6))


@pytest.mark.parametrize("version", [(3, 6, 9), (3, 10, 13), (3, 14, 0)])
def test_another_python_gets_one_sentence(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit) as stop:
        module().main(["lab"])
    sentence = str(stop.value)
    assert (
        "Python 3.11, 3.12 or 3.13" in sentence and f"this is Python {version[0]}.{version[1]}." in sentence
    )
    assert sentence.endswith(" course.py lab") and "\n" not in sentence


def test_the_range_of_pythons_is_that_of_pyproject():
    assert 'requires-python = ">=3.11,<3.14"' in (REPOSITORY / "pyproject.toml").read_text("utf-8")
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in (REPOSITORY / "course.py").read_text("utf-8")


@pytest.mark.parametrize("arguments, code", [((), 2), (("help",), 0), (("--help",), 0), (("labb",), 2)])
def test_help_and_typing_errors_install_nothing(tree, arguments, code):
    returned, output = tree.run(*arguments)
    assert returned == code
    assert "python3 course.py lab" in output and "build" in output and "helper" not in output
    assert not (tree.root / ".venv").exists()


# Installing


def test_first_start_installs_and_opens_the_chapters(tree):
    code, output = tree.run("lab", "--no-browser", "--port", "8899", "--allow-root", "--ip=127.0.0.1")
    assert code == 7, output  # what JupyterLab returned
    (pip,), (lab,) = tree.calls("pip"), tree.calls("jupyterlab")
    assert pip["arguments"][-4:] == ["-c", "constraints.txt", "-e", ".[test]"]
    assert pip["cwd"] == str(tree.root)
    root, *rest = [argument for argument in lab["arguments"] if "jpserver_extensions" not in argument]
    assert root == f"--ServerApp.root_dir={tree.root / 'chapters'}"
    assert rest == ["--no-browser", "--port", "8899", "--allow-root", "--ip=127.0.0.1"]
    assert not any("ip=0.0.0.0" in a or "token" in a for a in lab["arguments"])
    assert lab["cwd"] == str(tree.root / "elsewhere")
    settings = tree.root / ".venv/share/jupyter/lab/settings/overrides.json"
    news = json.loads(settings.read_text())["@jupyterlab/apputils-extension:notification"]
    assert news == {"fetchNews": "false", "checkForUpdates": False}


def test_commands_in_notebooks_and_terminals_find_the_environment(tree):
    tree.run("lab")
    env = tree.calls("jupyterlab")[0]["env"]
    assert env["PATH"].split(os.pathsep)[0] == str((tree.root / ".venv" / INTERPRETER).parent)
    assert env["VIRTUAL_ENV"] == str(tree.root / ".venv") and "PYTHONPATH" not in env


def test_own_root_dir_replaces_the_chapters(tree):
    tree.run("lab", "--notebook-dir=/tmp")
    assert not any("chapters" in argument for argument in tree.calls("jupyterlab")[0]["arguments"])


def test_second_start_does_not_install(tree):
    tree.run("lab")
    start = time.perf_counter()
    _, output = tree.run("lab")
    assert time.perf_counter() - start < 5
    assert len(tree.calls("pip")) == 1 and "Installing" not in output


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml", "deploy/lab/overrides.json"])
def test_changed_versions_install_again(tree, name):
    tree.run("setup")
    with (tree.root / name).open("a", encoding="utf-8") as file:
        file.write("\n")
    tree.run("lab")
    tree.run("lab")
    assert len(tree.calls("pip")) == 2


def test_moved_folder_installs_again(tree):
    tree.run("setup")
    tree.root = tree.root.rename(tree.root.with_name("moved"))
    tree.run("lab")
    assert len(tree.calls("pip")) == 2


def test_setup_always_runs_pip_and_passes_its_options(tree):
    options = ["--extra-index-url", "https://example.org/cpu"]
    assert tree.run("setup")[0] == 0
    assert tree.run("setup", *options)[0] == 0
    assert tree.calls("pip")[1]["arguments"][-2:] == options
    assert tree.run("lab")[0] == 7 and len(tree.calls("pip")) == 2


# When it fails


def one_sentence(output: str) -> str:
    """The last line, which must be course.py's own and say how to go on."""
    last = output.strip().splitlines()[-1]
    assert last.startswith("course.py: ") and "type the same command again" in last, output
    return last


RETRY = "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError': /simple/numpy/"


@pytest.mark.parametrize(
    "words, reason",
    [
        (RETRY + "\nERROR: No matching distribution found for numpy", "Check the network"),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "disk is full",
        ),
        ("ERROR: Could not install packages due to an OSError: [WinError 5] Access is denied", "in use"),
        (
            "HINT: This error might have occurred since this system does not have Windows Long Path support",
            "Windows",
        ),
        ("ERROR: No matching distribution found for torch==2.13.0", "not made for this machine"),
    ],
)
def test_pip_fails_for_a_known_reason(tree, words, reason):
    code, output = tree.run("lab", PIP_SAYS=words)
    assert code == 1 and reason in one_sentence(output) and not tree.stamp.exists()
    assert "ERROR" not in output
    assert tree.run("lab")[0] == 7  # the mend: the same command again


def test_pip_fails_for_another_reason_and_is_quoted(tree):
    code, output = tree.run("lab", PIP_SAYS="ERROR: the moon is in the wrong house")
    assert code == 1 and "wrong house" in output
    one_sentence(output)


@pytest.mark.skipif(os.name == "nt", reason="there, python.exe is a copy")
def test_broken_environment_is_made_anew(tree):
    tree.run("setup")
    interpreter = tree.root / ".venv" / INTERPRETER
    interpreter.unlink()
    interpreter.symlink_to("/gone/python3")
    code, output = tree.run("lab")
    assert code == 7 and "broken or half made" in output and len(tree.calls("pip")) == 2


@pytest.mark.parametrize("lost", ["pip-1.dist-info/RECORD", "pip/_internal/cli/main.py", "pip"])
def test_environment_without_a_whole_pip_is_made_anew(tree, lost):
    tree.run("setup")
    (path,) = (tree.root / ".venv").glob(f"[Ll]ib/**/site-packages/{lost}")
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    tree.stamp.unlink()
    code, output = tree.run("lab")
    assert code == 7 and "broken or half made" in output


def test_venv_that_fails_gets_one_sentence(tree):
    code, output = tree.run("lab", VENV_FAILS="1")
    assert code == 1 and "could not be made" in one_sentence(output)


def test_venv_that_is_missing_names_the_package(monkeypatch, capsys):
    course = module()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(course.Stop, match="apt install python3-venv"):
        course.make_venv()


def test_small_disk_is_refused_before_the_download(monkeypatch, tmp_path):
    course = module()
    monkeypatch.setattr(course, "VENV", tmp_path / "none")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9e9, 8e9, 1e9))
    with pytest.raises(course.Stop, match=r"less than 2\.5 GB"):
        course.make_venv()


@pytest.mark.skipif(
    os.name == "nt" or getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write anywhere"
)
def test_folder_that_may_not_be_written(tree):
    tree.root.chmod(0o500)
    try:
        assert "where you may write" in one_sentence(tree.run("lab")[1])
    finally:
        tree.root.chmod(0o700)


def wait_for(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(os.name == "nt", reason="no POSIX signals")
@pytest.mark.parametrize("how", ["Ctrl-C", "kill -INT", "kill -9 all"])
def test_interrupted_installation_is_repaired_by_the_same_command(tree, how):
    first = tree.start("lab", PIP_STOPS_HALF_WAY="1", PIP_SLEEPS="30")
    wait_for(lambda: list((tree.root / ".venv").glob("lib/**/half-1.dist-info")))
    send = first.send_signal if how == "kill -INT" else lambda number: os.killpg(first.pid, number)
    send(signal.SIGKILL if how == "kill -9 all" else signal.SIGINT)
    output, _ = first.communicate(timeout=20)
    assert first.returncode != 0 and not tree.stamp.exists()
    if how != "kill -9 all":
        assert "stopped" in one_sentence(output)
    code, output = tree.run("lab")
    assert code == 7, output  # pip did not take the half package for a whole one
    assert "Waiting" not in output


def test_two_at_once_install_once(tree):
    both = [tree.start("lab", PIP_SLEEPS="1") for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [7, 7], outputs
    assert len(tree.calls("pip")) == 1 and sum("Waiting" in output for output in outputs) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no lock that a child inherits")
def test_waits_for_a_pip_that_outlives_its_course_py(tree):
    first = tree.start("lab", PIP_SLEEPS="2")
    wait_for(lambda: tree.calls("pip"))
    first.kill()
    code, output = tree.run("lab")
    first.communicate()
    assert code == 7 and "Waiting" in output and len(tree.calls("pip")) == 2


# What it starts


def test_tools_get_their_arguments(tree):
    assert tree.run("build", "03", "--check")[0] == 3
    (call,) = tree.calls("tools")
    assert call["arguments"] == ["03", "--check"] and call["cwd"] == str(tree.root)


def test_test_runs_everything_and_shows_pytest_s_closing_line(tree):
    code, output = tree.run("test", "-m", "slow", "tests/test_mdp.py")
    assert code == 0 and "3 passed in 0.01s" in output
    assert output.strip().endswith("== all passed: ruff check, ruff format, pytest")
    assert [call["arguments"] for call in tree.calls("ruff")] == [["check", "."], ["format", "--check", "."]]
    (call,) = tree.calls("pytest")
    assert call["arguments"] == ["-m", "slow", "tests/test_mdp.py"] and call["cwd"] == str(tree.root)


@pytest.mark.parametrize(
    "env, failed",
    [
        ({"RUFF": "check"}, "ruff check"),
        ({"RUFF": "format"}, "ruff format"),
        ({"PYTEST": "tests"}, "pytest"),
        ({"PYTEST": "chapters"}, "pytest"),
    ],
)
def test_one_failure_fails_and_the_others_still_run(tree, env, failed):
    code, output = tree.run("test", **env)
    assert code == 1 and output.strip().endswith(f"== FAILED: {failed}")
    assert (len(tree.calls("ruff")), len(tree.calls("pytest"))) == (2, 3)
    assert output.count("3 passed in 0.01s") == 3, "what the other lanes say is shown too"


def test_the_lanes_together_are_the_whole_suite():
    """Every file of tests belongs to one lane, and so does every notebook."""
    lanes = [lane.split() for lane in runpy.run_path(str(REPOSITORY / "course.py"))["LANES"]]

    def belongs(path: Path, lane: list[str]) -> bool:
        places = [path, *path.parents][:-1]  # the file and its folders
        ignored = [word.removeprefix("--ignore-glob=") for word in lane if word.startswith("--ignore-glob=")]
        given = next((at for at in places if at.as_posix() in lane), None)
        return given is not None and not any(
            fnmatch.fnmatch(at.as_posix(), glob) for at in places[: places.index(given)] for glob in ignored
        )

    found = (*(REPOSITORY / "tests").glob("test_*.py"), *(REPOSITORY / "chapters").rglob("*.ipynb"))
    files = [path.relative_to(REPOSITORY) for path in found if ".ipynb_checkpoints" not in path.parts]
    assert len(files) > 100 and all(sum(belongs(path, lane) for lane in lanes) == 1 for path in files)


# The real thing


@contextlib.contextmanager
def served(root: Path, port: int) -> Iterator[float]:
    """JupyterLab as a reader starts it; yields the seconds until it answers."""
    root_options = ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    command = [
        sys.executable,
        str(root / "course.py"),
        "lab",
        "--no-browser",
        "--port",
        str(port),
        *root_options,
    ]
    with (root.parent / "log").open("wb") as log:
        start = time.monotonic()
        process = subprocess.Popen(command, cwd=root.parent, stdout=log, stderr=subprocess.STDOUT)
    try:
        while True:
            assert process.poll() is None, (root.parent / "log").read_text("utf-8")[-2000:]
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2).close()
                break
            time.sleep(0.2)
        yield time.monotonic() - start
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_fresh_copy_reaches_jupyterlab(tmp_path, unused_port):
    root = tmp_path / AWKWARD
    left_out = shutil.ignore_patterns(".venv*", ".peers", ".git", "__pycache__", "*.egg-info", ".*_cache")
    shutil.copytree(REPOSITORY, root, ignore=left_out)
    try:
        with served(root, unused_port):
            with pytest.raises(urllib.error.HTTPError) as refused:  # without its token
                urllib.request.urlopen(f"http://127.0.0.1:{unused_port}/api/contents")
            assert refused.value.code == 403
        with served(root, unused_port) as seconds:
            assert seconds < 10
        code = "import course_lib, pathlib; print(pathlib.Path(course_lib.__file__).parents[1])"
        where = subprocess.check_output(
            [root / ".venv" / INTERPRETER, "-c", code], cwd=tmp_path, encoding="utf-8"
        )
        assert where.strip() == str(root)
        command = [sys.executable, "course.py", "test", "tests/test_environment.py"]
        done = subprocess.run(command, cwd=root, capture_output=True, encoding="utf-8")
        *_, summary = done.stdout.splitlines()
        assert " passed in " in done.stdout and "pytest" not in summary.partition("FAILED")[2]
    finally:
        shutil.rmtree(root / ".venv", ignore_errors=True)


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
