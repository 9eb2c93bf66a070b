"""Reproducible runs: independent random generators, and results of long runs, kept and checked."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

FORMAT = 1  # raise it when the way results are stored changes: older files are then made again


def generators(seed: int, n: int) -> list[np.random.Generator]:
    """n independent random generators from one seed; the k-th is the same whatever n is."""
    return [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(n)]


def load_or_run(
    path: str | Path, fn: Callable[..., dict[str, np.ndarray]], *, seed: int
) -> dict[str, np.ndarray]:
    """The arrays that fn(seed=seed) returns: from the file `path` if it holds them, else by running fn now.

    The file is NumPy's .npz, without pickle, with a format version, the seed and a checksum of every array. A
    file that does not match is made again, with a message that says why. It is written in one step, so a run
    that is interrupted leaves no half file. `fn` shows its own progress bar.
    """
    path = Path(path)
    results, trouble = load(path, seed)
    if not trouble:
        return results
    print(f"{path.name}: {trouble}; running {fn.__name__} now.")
    results = {name: np.asarray(x) for name, x in fn(seed=seed).items()}
    store(path, results, seed)
    return results


def load(path: Path, seed: int) -> tuple[dict[str, np.ndarray], str]:
    """The arrays stored in `path` with this seed, and '' or why they cannot be used."""
    if not path.exists():
        return {}, "there is no stored result"
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            results = {name: file[name] for name in file.files}
        about = json.loads(str(results.pop("about")))
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
        os.unlink(temporary)
        raise


def _check_plain(results: dict[str, np.ndarray]) -> None:
    for name, x in results.items():
        if x.dtype == object or name == "about":
            raise ValueError(f"{name!r} is of type {x.dtype}: return arrays of numbers or text.")


def _checksums(results: dict[str, np.ndarray]) -> dict[str, str]:
    return {name: _checksum(x) for name, x in sorted(results.items())}


def _checksum(x: np.ndarray) -> str:
    return hashlib.sha256(f"{x.dtype.str}{x.shape}".encode() + np.ascontiguousarray(x).tobytes()).hexdigest()
