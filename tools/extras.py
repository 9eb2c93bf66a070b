"""Packages that only one tool needs: installed the first time the tool is used."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


class Missing(RuntimeError):
    """What is not installed, and what to type."""


def need(extra: str, root: Path = ROOT) -> None:
    """Install what is missing of an extra of pyproject.toml; raises Missing when pip cannot get it."""
    wanted = missing(extra, root)
    if not wanted:
        return
    print(f"Installing, this once: {', '.join(wanted)}", flush=True)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if subprocess.run([*command, "-c", str(root / "constraints.txt"), *wanted]).returncode:
        raise Missing(
            f"{', '.join(wanted)}: not installed. Check the network, and type the same command again."
        )


def missing(extra: str, root: Path = ROOT) -> list[str]:
    """The packages of the extra that are not installed."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = map(Requirement, project["optional-dependencies"][extra])
    return [str(r) for r in requirements if not installed(r.name)]


def installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False
