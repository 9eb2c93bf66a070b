"""The checks that every world passes when it is made: one function, one kind of mistake.

Each returns a fresh array, or raises a ValueError that names the place and the mend.
"""

from numbers import Real

import numpy as np
from scipy.sparse import csr_array, issparse

ROW_TOL = 1e-9  # how far a row of probabilities may be from summing to 1


def check_number(name: str, x: float, low: float = -np.inf, high: float = np.inf) -> None:
    """ValueError, naming what it is, unless x is one finite real number from low to high."""
    if isinstance(x, bool) or not isinstance(x, Real) or not np.isfinite(x) or not low <= x <= high:
        wanted = "a finite number" if low == -np.inf else f"a number from {low} to {high}"
        raise ValueError(f"{name} is {x!r}: it must be {wanted}.")


def frozen(x: np.ndarray) -> np.ndarray:
    """The same array, read-only from now on."""
    x.setflags(write=False)
    return x


def numbers(name: str, x, ndim: int, shape: str) -> np.ndarray:
    """A fresh float array with finite entries, or a ValueError that says which entry is not."""
    try:
        if np.iscomplexobj(x):
            raise TypeError
        x = np.array(x, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be an array of real numbers {shape}, but it is a {type(x).__name__} that does not "
            "convert to one."
        ) from None
    if x.ndim != ndim:
        raise ValueError(f"{name} has {x.ndim} axes, shape {x.shape}: it must have shape {shape}.")
    if not np.isfinite(x).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise ValueError(f"{name}{list(at)} is {x[at]}: every entry must be a finite number.")
    return x


def transitions(P, S: int, A: int) -> np.ndarray | csr_array:
    """P checked and frozen: dense [S, A, S] or sparse [A·S, S], with rows that are probabilities."""
    P = _sparse_transitions(P, S, A) if issparse(P) else _dense_transitions(P, S, A)
    _check_entries(P, S, A)
    _check_sums(P, S, A)
    for part in (P.data, P.indices, P.indptr) if issparse(P) else (P,):
        frozen(part)
    return P


def _place(row: int, P, S: int, A: int) -> str:
    s, a = (row % S, row // S) if issparse(P) else divmod(row, A)
    return f"s={s}, a={a}"


def _check_entries(P, S: int, A: int) -> None:
    entries = P.data if issparse(P) else P.ravel()
    bad = np.flatnonzero(~((entries >= 0) & (entries < np.inf)))  # so that NaN is bad too
    if len(bad):
        i = bad[0]
        row = np.searchsorted(P.indptr, i, side="right") - 1 if issparse(P) else i // S
        s2 = P.indices[i] if issparse(P) else i % S
        raise ValueError(
            f"P for {_place(row, P, S, A)}, s'={s2} is {entries[i]:.6g}: a probability must be from 0 to 1."
        )


def _check_sums(P, S: int, A: int) -> None:
    sums = P.sum(axis=-1).ravel()
    bad = np.flatnonzero(np.abs(sums - 1) > ROW_TOL)
    if len(bad):
        total = sums[bad[0]]
        mend = "divide the row by its sum" if total > 0 else "a state where nothing moves must lead to itself"
        raise ValueError(
            f"P's row for {_place(bad[0], P, S, A)} sums to {total:.10g}, not 1: the probabilities of "
            f"all next states must sum to 1 ({mend})."
        )


def _dense_transitions(P, S: int, A: int) -> np.ndarray:
    try:
        P = np.array(P, dtype=float, order="C") if not np.iscomplexobj(P) else None
    except (TypeError, ValueError):
        P = None
    if P is None:
        raise ValueError("P must be an array of real numbers [S, A, S], but it does not convert to one.")
    if P.shape != (S, A, S):
        raise ValueError(
            f"P has shape {P.shape}, but R has [S, A] = {S, A}: P must be [S, A, S] = {S, A, S}."
        )
    return P


def _sparse_transitions(P, S: int, A: int) -> csr_array:
    if P.shape != (A * S, S):
        raise ValueError(
            f"sparse P has shape {P.shape}, but R has [S, A] = {S, A}: P must be [A·S, S] = {A * S, S}, "
            "with row a·S + s for state s and action a."
        )
    if np.iscomplexobj(P):
        raise ValueError("sparse P holds complex numbers: it must hold real probabilities.")
    P = csr_array(P, dtype=float, copy=True)
    P.sum_duplicates()
    P.eliminate_zeros()  # a stored 0 must not look like a way
    if P.nnz < np.iinfo(np.int32).max:  # half the index memory to read in every backup
        P.indices, P.indptr = P.indices.astype(np.int32), P.indptr.astype(np.int32)
    return P


def terminal_states(terminal, P, R: np.ndarray) -> np.ndarray:
    """The terminal states [S] bool, checked: each stays where it is and pays nothing."""
    S, A = R.shape
    if terminal is None:
        return np.zeros(S, bool)
    terminal = np.array(terminal)
    if terminal.shape != (S,) or terminal.dtype != bool:
        raise ValueError(
            f"terminal has shape {terminal.shape} and type {terminal.dtype}: give True or False for each "
            f"state, shape ({S},)."
        )
    stays = np.array(
        [P[a * S : (a + 1) * S].diagonal() if issparse(P) else P[:, a].diagonal() for a in range(A)]
    )
    ways = np.diff(P.indptr).reshape(A, S) if issparse(P) else np.count_nonzero(P, axis=2).T
    bad = np.flatnonzero(terminal & (((stays == 0) | (ways > 1)).any(axis=0) | R.any(axis=1)))
    if len(bad):
        raise ValueError(
            f"state {bad[0]} is terminal, but it moves on or pays a reward: let P lead from it to itself for "
            f"every action, and R[{bad[0]}] be 0."
        )
    return terminal


def first_states(start, terminal: np.ndarray) -> np.ndarray:
    """The probability of each first state [S], checked; by default uniform over the non-terminal ones."""
    if start is None:
        first = ~terminal if not terminal.all() else np.ones(len(terminal), bool)
        return first / first.sum()
    start = numbers("start", start, ndim=1, shape="[S]")
    if len(start) != len(terminal) or (start < 0).any() or abs(start.sum() - 1) > ROW_TOL:
        raise ValueError(
            f"start has {len(start)} entries, the smallest {start.min(initial=0):.6g}, with sum "
            f"{start.sum():.6g}: give {len(terminal)} probabilities, one a state, that sum to 1."
        )
    return start


def state_labels(labels, S: int) -> tuple | None:
    """One label a state, as a tuple, or None."""
    if labels is None:
        return None
    labels = tuple(labels)
    if len(labels) != S:
        raise ValueError(f"there are {len(labels)} labels for {S} states: give one label a state.")
    return labels
