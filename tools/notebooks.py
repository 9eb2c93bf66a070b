"""The notebook that a short name stands for."""

from __future__ import annotations

from pathlib import Path


class Unknown(ValueError):
    """A name for which there is no notebook; the message lists those that exist."""


def notebook(root: Path, name: str) -> Path:
    """chapters/03_dynamic_programming.ipynb for 03, 03_dynamic_programming or glossary; raises Unknown."""
    every = sorted((root / "chapters").glob("*.ipynb"))
    for path in every:
        if path.stem == name or path.stem.startswith(f"{name}_"):
            return path
    known = ", ".join(path.stem.split("_")[0] if path.stem[0].isdigit() else path.stem for path in every)
    raise Unknown(f"there is no chapter {name!r}. There are: {known}.")
