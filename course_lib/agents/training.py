"""Long training runs that show their progress, store where they are, and go on bit for bit after a kill."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm.auto import tqdm

FORMAT = 1  # raise it when the way states are stored changes: older files then start afresh
MEND = "delete it to start afresh"


def train(
    begin: Callable[[], dict],
    update: Callable[[dict], dict],
    steps: int,
    *,
    path: str | Path | None = None,
    every: int = 100,
    about: str = "training",
    show: bool = True,
) -> dict:
    """The last state of: state = begin(), then state = update(state), `steps` times, with a progress bar.

    A state is a dict of tensors, numbers, text and such dicts or lists: all that the next update needs,
    random generators too (as `generator.get_state()`), so that a run stopped at any moment and started again
    with the same `path` ends with the same bits. The state is stored there every `every` updates and at the
    end, in one step (a kill leaves no half file). A file of other code, recognised by `about`, is refused.
    """
    if steps < 0 or every < 1:
        raise ValueError(f"steps is {steps} and every is {every}: give steps from 0 and every from 1.")
    done, state = _load(path, about) if path and Path(path).exists() else (0, begin())
    if done > steps:
        raise ValueError(
            f"{path} holds {done} updates, more than the {steps} asked for: delete it to start afresh."
        )
    with tqdm(total=steps, initial=done, desc=about, disable=not show, leave=False) as bar:
        while done < steps:
            state = update(state)
            done += 1
            bar.update()
            if path and (done % every == 0 or done == steps):
                _save(Path(path), done, state, about)
    return state


def generator_from(state: torch.Tensor) -> torch.Generator:
    """A generator (on the CPU) that goes on from a stored `generator.get_state()`."""
    generator = torch.Generator()
    generator.set_state(state)
    return generator


def _save(path: Path, done: int, state: dict, about: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".pt")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save({"format": FORMAT, "about": about, "done": done, "state": state}, file)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _load(path: str | Path, about: str) -> tuple[int, dict]:
    """Where the stored run stood. Nothing but tensors and plain data is read: no code in the file can run."""
    try:
        file = torch.load(path, weights_only=True)
        kind = file["format"], file["about"]
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}): delete it to start afresh."
        ) from error
    if kind != (FORMAT, about):
        raise ValueError(
            f"{path} holds {kind[1]!r} (format {kind[0]}), not {about!r}: delete it to start afresh."
        )
    return file["done"], file["state"]
