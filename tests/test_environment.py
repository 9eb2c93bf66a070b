"""One list of versions: pyproject.toml, constraints.txt, environment.yml and what is installed agree."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parent.parent
CONDA_NAMES = {"torch": "pytorch"}  # where conda-forge has another name than PyPI
NOT_IMPORTED = {"jupyterlab", "nbval", "ruff"}  # programs and plug-ins
LATER = {"torch", "tqdm"}  # imported from chapter 10 on
PARTS = {
    "ipython": "ipywidgets",
    "traitlets": "ipywidgets",
    "cycler": "matplotlib",
    "pillow": "matplotlib",
    "jupyter-core": "jupyterlab",
    "jupyter-client": "nbval",
}


class Environment(NamedTuple):
    """The four places that name versions, and the packages that each part of the course imports."""

    pyproject: str
    constraints: str
    conda: str
    installed: dict[str, str]
    library_imports: set[str]
    other_imports: set[str]


def disagreements(env: Environment) -> Iterator[str]:
    project = tomllib.loads(env.pyproject)
    needed = requirements(project["project"]["dependencies"])
    extras = project["project"]["optional-dependencies"]
    for_tests = requirements(extras["test"])
    for_tools = requirements([line for name in extras if name != "test" for line in extras[name]])
    pins, spoilt = read_pins(env.constraints)
    yield from spoilt
    yield from (f"constraints.txt pins {name}" for name in ("pip", "course-lib") if name in pins)
    build = [f"setuptools=={pins.get('setuptools')}"]
    if project["build-system"]["requires"] != build:
        yield f"pyproject.toml builds with {project['build-system']['requires']}, constraints.txt has {build}"
    for name, requirement in {**needed, **for_tests}.items():
        if requirement.specifier:
            yield f"pyproject.toml bounds {name}: versions stand in constraints.txt only"
        if name not in pins:
            yield f"constraints.txt does not pin {name}"
        if (requirement.marker is None or requirement.marker.evaluate()) and name not in env.installed:
            yield f"{name} is not installed"
    for name in sorted(for_tools.keys() - pins.keys()):
        yield f"constraints.txt does not pin {name}"
    for name in sorted(pins.keys() & env.installed.keys()):
        if env.installed[name].split("+")[0] != pins[name]:
            yield f"{name} {env.installed[name]} is installed, constraints.txt has {pins[name]}"
    yield from conda_disagreements(env.conda, {name: pins.get(name) for name in needed})
    on_clusters = set(requirements(extras.get("cluster", [])))  # imported when a sweep asks for one
    env = env._replace(library_imports=env.library_imports - on_clusters)
    yield from import_disagreements(env, set(needed), set(for_tests), set(for_tools))


def requirements(lines: list[str]) -> dict[str, Requirement]:
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def read_pins(constraints: str) -> tuple[dict[str, str], list[str]]:
    """The version of each package, and the lines that are no plain `name==version`."""
    pins, spoilt = {}, []
    for line in filter(None, (line.split("#")[0].strip() for line in constraints.splitlines())):
        match = re.fullmatch(r"([\w.-]+)==([\w.]+)", line)
        if match is None or canonicalize_name(match[1]) in pins:
            spoilt.append(f"constraints.txt has the line {line!r}")
        else:
            pins[canonicalize_name(match[1])] = match[2]
    return pins, spoilt


def conda_disagreements(text: str, wanted: dict[str, str]) -> Iterator[str]:
    recipe = yaml.safe_load(text)
    if recipe["channels"] != ["conda-forge", "nodefaults"]:
        yield f"environment.yml takes its packages from {recipe['channels']}"
    lines = [line for line in recipe["dependencies"] if isinstance(line, str)]
    versions = dict([*line.split("="), ""][:2] for line in lines)
    if versions.pop("python", None) not in ("3.11", "3.12", "3.13"):
        yield "environment.yml names no supported Python"
    if versions.pop("pip", None) is None or {"pip": ["-e ."]} not in recipe["dependencies"]:
        yield "environment.yml does not install course_lib"
    wanted = {CONDA_NAMES.get(name, name): version for name, version in wanted.items()}
    for name in sorted(versions.keys() | wanted.keys()):
        if versions.get(name) != wanted.get(name):
            yield f"environment.yml has {name} {versions.get(name)}, the others {wanted.get(name)}"


def import_disagreements(
    env: Environment, needed: set[str], for_tests: set[str], for_tools: set[str]
) -> Iterator[str]:
    needed = needed | {part for part, whole in PARTS.items() if whole in needed}
    for name in sorted(env.library_imports - needed):
        yield f"course_lib imports {name}, which pyproject.toml does not name"
    for name in sorted(env.other_imports - needed - for_tests - for_tools):
        yield f"tools, tests or chapters import {name}, which pyproject.toml does not name"
    used = env.library_imports | env.other_imports | NOT_IMPORTED | LATER
    for name in sorted((needed | for_tests) - used - set(PARTS)):
        yield f"pyproject.toml names {name}, which nothing imports"


def imported_packages(*sources: str) -> set[str]:
    """The distributions, other than the standard library and our own, that the sources import."""
    trees = [node for source in sources for node in ast.walk(ast.parse(source))]
    names = {alias.name for node in trees if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in trees if isinstance(node, ast.ImportFrom) and node.level == 0}
    tops = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
    own = {
        "course_lib",
        "tools",
        "tests",
        "benchmarks",
        *(path.stem for path in REPOSITORY.glob("tests/*.py")),
    }
    owners = metadata.packages_distributions()
    return {canonicalize_name(owners.get(top, [top])[0]) for top in tops - own}


def imports_of(notebook: Path) -> Iterator[str]:
    """An import statement for each module that the cells import; an exercise need not parse."""
    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            for module in re.findall(r"(?m)^\s*(?:import|from)\s+(\w+)", "".join(cell["source"])):
                yield f"import {module}"


@pytest.fixture(scope="module")
def environment() -> Environment:
    python = {folder: REPOSITORY.glob(f"{folder}/**/*.py") for folder in ("course_lib", "tools", "tests")}
    sources = {folder: [path.read_text("utf-8") for path in paths] for folder, paths in python.items()}
    cells = [cell for path in REPOSITORY.glob("chapters/*.ipynb") for cell in imports_of(path)]
    return Environment(
        (REPOSITORY / "pyproject.toml").read_text("utf-8"),
        (REPOSITORY / "constraints.txt").read_text("utf-8"),
        (REPOSITORY / "environment.yml").read_text("utf-8"),
        {canonicalize_name(d.name): d.version for d in metadata.distributions()},
        imported_packages(*sources["course_lib"]),
        imported_packages(*sources["tools"], *sources["tests"], *cells),
    )


def test_all_places_agree(environment):
    assert "\n".join(disagreements(environment)) == ""


# The test of the test: one broken copy of each.


@pytest.fixture(scope="module")
def agreeing(environment) -> Environment:
    """The same files, with exactly what they ask for."""
    pins, _ = read_pins(environment.constraints)
    project = tomllib.loads(environment.pyproject)["project"]
    needed = set(requirements(project["dependencies"]))
    for_tests = set(requirements(project["optional-dependencies"]["test"]))
    installed = {**pins, "torch": pins["torch"] + "+cpu"}
    return environment._replace(installed=installed, library_imports=needed, other_imports=for_tests)


def test_an_agreeing_copy_passes(agreeing):
    assert list(disagreements(agreeing)) == []


@pytest.mark.parametrize(
    "field, pattern, replacement, problem",
    [
        ("pyproject", r'"scipy",', "", r"environment.yml has scipy [\d.]+, the others None"),
        ("pyproject", r'"scipy",', '"scipy", "flax",', "constraints.txt does not pin flax"),
        ("pyproject", r'"scipy",', '"scipy", "flax",', "flax is not installed"),
        ("pyproject", r'"scipy",', '"scipy>=1.9",', "pyproject.toml bounds scipy"),
        ("pyproject", r"setuptools==", "setuptools>=", "pyproject.toml builds with"),
        ("constraints", r"(?m)^numpy==.*$", "", "constraints.txt does not pin numpy"),
        ("constraints", r"(?m)^numpy==.*$", "numpy>=2", "constraints.txt has the line 'numpy>=2'"),
        ("constraints", r"(?m)^torch==.*$", "torch==2.13.0+cpu", "constraints.txt has the line 'torch"),
        (
            "constraints",
            r"(?m)^numpy==.*$",
            "numpy==1.26.0",
            r"numpy [\d.]+ is installed, constraints.txt has 1.26",
        ),
        (
            "constraints",
            r"(?m)^numpy==.*$",
            "numpy==1.26.0",
            r"environment.yml has numpy [\d.]+, the others 1.26",
        ),
        ("constraints", r"\Z", "pip==26.0\n", "constraints.txt pins pip"),
        ("conda", r"  - nodefaults\n", "", "environment.yml takes its packages from"),
        ("conda", r"conda-forge", "pytorch", "environment.yml takes its packages from"),
        ("conda", r"pytorch=[\d.]+", "pytorch", "environment.yml has pytorch , the others 2.13.0"),
        ("conda", r"numpy=[\d.]+", "numpy=1.26.0", "environment.yml has numpy 1.26.0, the others"),
        ("conda", r"  - tqdm.*\n", "", "environment.yml has tqdm None, the others"),
        ("conda", r"  - pip\n", "  - pip\n  - flax=1\n", "environment.yml has flax 1, the others None"),
        ("conda", r"-e \.", "course_lib", "environment.yml does not install course_lib"),
        ("conda", r"python=3.11", "python=3.9", "environment.yml names no supported Python"),
    ],
)
def test_a_broken_copy_is_refused(agreeing, field, pattern, replacement, problem):
    text, count = re.subn(pattern, replacement, getattr(agreeing, field), count=1)
    assert count == 1
    found = list(disagreements(agreeing._replace(**{field: text})))
    assert any(re.match(problem, line) for line in found), found


@pytest.mark.parametrize(
    "field, change, problem",
    [
        ("installed", {"numpy": "1.26.0"}, "numpy 1.26.0 is installed, constraints.txt has"),
        ("installed", {"soupsieve": "4.1.2"}, "soupsieve 4.1.2 is installed, constraints.txt has"),
        ("library_imports", {"jax"}, "course_lib imports jax, which"),
        ("library_imports", {"pytest"}, "course_lib imports pytest, which"),
        ("other_imports", {"jax"}, "tools, tests or chapters import jax, which"),
    ],
)
def test_a_broken_environment_is_refused(agreeing, field, change, problem):
    found = list(disagreements(agreeing._replace(**{field: getattr(agreeing, field) | change})))
    assert any(line.startswith(problem) for line in found), found


def test_a_dependency_that_nothing_imports_is_refused(agreeing):
    idle = agreeing._replace(library_imports=agreeing.library_imports - {"scipy"})
    assert list(disagreements(idle)) == ["pyproject.toml names scipy, which nothing imports"]


@pytest.mark.parametrize("part, whole", PARTS.items())
def test_parts_come_with_their_whole(part, whole):
    assert part in requirements([line for line in metadata.requires(whole) if "extra ==" not in line])


def test_imports_are_found():
    code = "import os, yaml.nodes\ndef f():\n    from IPython.display import display\n    from . import here"
    assert imported_packages(code) == {"pyyaml", "ipython"}


# JupyterLab's settings


@pytest.mark.skipif(os.name == "nt" or shutil.which("bash") is None, reason="Binder and conda on Unix")
def test_post_build_turns_the_news_off(tmp_path):
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin/python"
    python.write_text(f"#!/bin/sh\necho '{tmp_path}'\n")
    python.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["bash", "postBuild"], cwd=REPOSITORY, env=env, check=True)
    settings = json.loads((tmp_path / "share/jupyter/lab/settings/overrides.json").read_text())
    assert settings["@jupyterlab/apputils-extension:notification"] == {
        "fetchNews": "false",
        "checkForUpdates": False,
    }
