"""Long training runs that show their progress, store where they are, and go on bit for bit after a kill."""

import ctypes
import functools
import hashlib
import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm.auto import tqdm

FORMAT = 2  # raise it when the way states are stored changes: older files then start afresh
GLIBC = {
    "trim": (-1, 1 << 30),
    "map": (-3, 1 << 25),
}  # malloc.h: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, in bytes
MAGIC = b"course_lib training "  # begins each file; then the format, a checksum, and what torch.save writes


@functools.cache
def keep_memory() -> bool:
    """Let this process keep freed memory for its next update; whether that could be done (Linux, glibc).

    The graph of a meta-gradient is large. By default glibc gives its memory back to the system after every
    update and asks for it again, page by page: up to a fifth of the time. `train` calls this.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(
        ctypes.CDLL(None), "mallopt", None
    )  # other C libraries have none, or one that does nothing
    return mallopt is not None and all([mallopt(*option) for option in GLIBC.values()])


def train(
    begin: Callable[[], dict],
    update: Callable[[dict], dict],
    steps: int,
    *,
    path: str | Path | None = None,
    every: int = 100,
    about: str = "training",
    settings: object = None,
    show: bool = True,
) -> dict:
    """The last state of: state = begin(), then state = update(state), `steps` times, with a progress bar.

    A state is a dict of tensors, numbers, text and such dicts or lists: all that the next update needs,
    random generators too (as `generator.get_state()`), so that a run stopped at any moment and started again
    with the same `path` ends with the same bits. The state is stored there every `every` updates and at the
    end, in one step (a kill leaves no half file). A file of another run, told by `about` and by how its
    `settings` are written, is refused; one that is damaged (it has a checksum) or of an older format is not
    used, with a message. If the disk is full, a message says so, and the run goes on.
    """
    if steps < 0 or every < 1:
        raise ValueError(f"steps is {steps} and every is {every}: give steps from 0 and every from 1.")
    keep_memory()
    kind, can_store = (about, repr(settings)), True
    done, state = (path and _load(Path(path), kind)) or (0, begin())
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
                can_store = _stored(Path(path), (kind, done, state), can_store)
    return state


def generator_from(state: torch.Tensor) -> torch.Generator:
    """A generator (on the CPU) that goes on from a stored `generator.get_state()`."""
    generator = torch.Generator()
    generator.set_state(state)
    return generator


def _stored(path: Path, run: tuple, could: bool) -> bool:
    """Store where the run is, and whether that went well; the first time it does not, say so."""
    try:
        _save(path, *run)
    except OSError as error:
        if could:
            print(
                f"{path.name}: could not be stored ({error.strerror or error}). The run goes on; "
                "if it is stopped, it starts again from what was stored last."
            )
        return False
    return True


def _save(path: Path, kind: tuple[str, str], done: int, state: dict) -> None:
    memory = io.BytesIO()
    torch.save({"kind": kind, "done": done, "state": state}, memory)
    body = memory.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".pt")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_head(body) + body)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _head(body: bytes) -> bytes:
    return MAGIC + f"{FORMAT} {hashlib.sha256(body).hexdigest()}\n".encode()


def _load(path: Path, kind: tuple[str, str]) -> tuple[int, dict] | None:
    """Where the stored run stood; None if nothing is stored, or nothing that can be trusted.

    Nothing but tensors and plain data is read: no code in the file can run.
    """
    if not path.exists():
        return None
    head, _, body = path.read_bytes().partition(b"\n")
    if not head.startswith(MAGIC):
        raise ValueError(f"{path} is no stored run: delete it to start afresh.")
    if head + b"\n" != _head(body):
        print(f"{path.name}: damaged, or of an older format; starting afresh.")
        return None
    file = torch.load(io.BytesIO(body), weights_only=True)
    if tuple(file["kind"]) != kind:
        same = file["kind"][0] == kind[0]
        what = "this run with other settings" if same else f"{file['kind'][0]!r}, not {kind[0]!r}"
        raise ValueError(f"{path} holds {what}: delete it to start afresh.")
    return file["done"], file["state"]
