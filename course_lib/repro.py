"""Reproducible runs: independent random generators, and results of long runs, kept and checked."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm  # noqa: F401  (the bar of long runs, for chapters)

FORMAT = 1  # raise it when the way results are stored changes: older files are then made again
_UNFINISHED: ContextVar[Path | None] = ContextVar("unfinished", default=None)


def generators(seed: int, n: int) -> list[np.random.Generator]:
    """n independent random generators from one seed; the k-th is the same whatever n is."""
    return [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(n)]


def load_or_run(
    path: str | Path, fn: Callable[..., dict[str, np.ndarray]], *, seed: int
) -> dict[str, np.ndarray]:
    """The arrays that fn(seed=seed) returns: from the file `path` if it holds them, else by running fn now.

    The file is NumPy's .npz, without pickle, with a format version, the seed and a checksum of every array. A
    file that does not match is made again, with a message that says why. It is written in one step, so a run
    that is interrupted leaves no half file; what it has stored under `running` names goes on with the next
    call. `fn` shows its own progress bar. Results that cannot be stored (a full disk) are given back all the
    same, with a message.
    """
    path = Path(path)
    results, trouble = load(path, seed)
    if not trouble:
        return results
    print(f"{path.name}: {trouble}; running {fn.__name__} now. It can take minutes, and shows its progress.")
    unfinished = path.with_suffix(".unfinished").absolute()
    outer = _UNFINISHED.set(unfinished)
    try:
        results = {name: np.asarray(x) for name, x in fn(seed=seed).items()}
    finally:
        _UNFINISHED.reset(outer)
    try:
        store(path, results, seed)
    except OSError as error:  # the results of minutes must not be lost with the disk
        why = error.strerror or error
        print(f"{path.name}: could not be stored ({why}). You have the results until the kernel stops.")
    else:
        shutil.rmtree(unfinished, ignore_errors=True)
    return results


def stored(path: str | Path, *, seed: int) -> dict[str, np.ndarray]:
    """The arrays that the `load_or_run` of another chapter left in `path`, under the same checks.

    FileNotFoundError or ValueError, which say what is wrong and which chapter makes them again.
    """
    path = Path(path)
    results, trouble = load(path, seed)
    if trouble:
        chapter = path.name.split("_")[0]
        raise (ValueError if path.exists() else FileNotFoundError)(
            f"{path.name}: {trouble}. Chapter {chapter} makes it: open that notebook and run all its cells, "
            "then run this one again."
        )
    return results


def running(name: str) -> Path:
    """Where a run of this name stores how far it is (see `agents.training`): a file beside the results of the
    `load_or_run` that it belongs to, which removes it when all is stored; else in the folder for temporary
    files."""
    return (_UNFINISHED.get() or Path(tempfile.gettempdir())) / f"{name}.pt"


def load(path: Path, seed: int) -> tuple[dict[str, np.ndarray], str]:
    """The arrays stored in `path` with this seed, and '' or why they cannot be used."""
    if not path.exists():
        return {}, "there is no stored result"
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            results = {name: file[name] for name in file.files}
        about = dict(json.loads(str(results.pop("about"))))
    except Exception:  # whatever is wrong with the file, the mend is the same
        return {}, "the stored result cannot be read"
    if about.get("format") != FORMAT:
        return {}, f"the stored result has format {about.get('format')}, not {FORMAT}"
    if about.get("seed") != seed:
        return {}, f"the stored result was made with seed {about.get('seed')}, not {seed}"
    if about.get("checksums") != _checksums(results):
        return {}, "the stored result does not match its checksum"
    return results, ""


def store(path: Path, results: dict[str, np.ndarray], seed: int) -> None:
    """Store arrays for `load`, in one step. ValueError unless they are plain numbers or text."""
    _check_plain(results)
    about = json.dumps({"format": FORMAT, "seed": seed, "checksums": _checksums(results)})
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".npz")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, about=about, **results)
        os.chmod(temporary, 0o644)  # a temporary file is its owner's alone; results are for everyone to read
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _check_plain(results: dict[str, np.ndarray]) -> None:
    for name, x in results.items():
        if x.dtype == object or name == "about":
            raise ValueError(f"{name!r} is of type {x.dtype}: return arrays of numbers or text.")


def _checksums(results: dict[str, np.ndarray]) -> dict[str, str]:
    return {name: _checksum(x) for name, x in sorted(results.items())}


def _checksum(x: np.ndarray) -> str:
    return hashlib.sha256(f"{x.dtype.str}{x.shape}".encode() + np.ascontiguousarray(x).tobytes()).hexdigest()
