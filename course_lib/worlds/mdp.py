"""Finite Markov decision processes as plain arrays, checked once when they are made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral

import numpy as np
from scipy.sparse import csr_array, issparse, vstack
from scipy.sparse.csgraph import breadth_first_order

from course_lib.worlds.validate import (
    ROW_TOL,
    check_number,
    first_states,
    frozen,
    numbers,
    state_labels,
    terminal_states,
    transitions,
)


@dataclass(frozen=True, eq=False)
class MDP:
    """A finite Markov decision process (Sutton & Barto 2018, ch. 3; Puterman 1994, ch. 2).

    P         transition probabilities P(s'|s,a): a dense array [S, A, S], or for large worlds a SciPy
              sparse matrix [A·S, S] whose row a·S + s belongs to state s and action a ("action-major")
    R         expected reward R(s,a), [S, A]
    gamma     discount, in [0, 1]
    start     probability of each first state, [S]; uniform over the non-terminal states by default
    terminal  which states end an episode, [S] bool; none by default. A terminal state is worth 0:
              all its actions stay there (probability 1) and pay 0
    labels    one label a state for people to read, [S]; grids use (row, column)

    Raises ValueError, naming the place and the mend, when the arrays do not describe an MDP. At
    gamma = 1 the sum of rewards need not converge, so a terminal state must be reachable from everywhere.
    The arrays are copied and read-only: make a changed world with `dataclasses.replace(mdp, gamma=0.5)`.
    """

    P: np.ndarray | csr_array
    R: np.ndarray
    gamma: float
    start: np.ndarray | None = None
    terminal: np.ndarray | None = None
    labels: Sequence | None = None
    _R_by_row: np.ndarray = field(init=False, repr=False)  # [A·S], in the order of the rows of a sparse P

    def __post_init__(self):
        R = numbers("R", self.R, ndim=2, shape="[S, A]")
        S, A = R.shape
        if not (S and A):
            raise ValueError(f"R has shape {R.shape}: give the world at least one state and one action.")
        P = transitions(self.P, S, A)
        check_number("the discount gamma", self.gamma, 0, 1)
        terminal = terminal_states(self.terminal, P, R)
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731  (the class is frozen)
        put("P", P), put("R", frozen(R)), put("gamma", float(self.gamma)), put("terminal", frozen(terminal))
        put("start", frozen(first_states(self.start, terminal)))
        put("labels", state_labels(self.labels, S))
        put("_R_by_row", frozen(R.T.flatten()))
        if self.gamma == 1:
            self._check_end_in_reach()

    @property
    def S(self) -> int:
        """The number of states."""
        return self.R.shape[0]

    @property
    def A(self) -> int:
        """The number of actions."""
        return self.R.shape[1]

    @property
    def sparse(self) -> bool:
        """Whether P is stored as a sparse matrix [A·S, S]."""
        return issparse(self.P)

    def backup(self, V: np.ndarray) -> np.ndarray:
        """Q(s,a) = R(s,a) + γ Σ_s' P(s'|s,a) V(s'): look one step ahead. V [S] → Q [S, A]."""
        if np.shape(V) != (self.S,):
            raise ValueError(f"V has shape {np.shape(V)}: give one value a state, shape ({self.S},).")
        ahead = self.gamma * np.asarray(V)  # γ first: S products instead of A·S
        if not self.sparse:
            return self.R + (self.P.reshape(-1, self.S) @ ahead).reshape(self.R.shape)
        Q = self.P @ ahead
        Q += self._R_by_row
        return Q.reshape(self.A, self.S).T

    def backup_state(self, V: np.ndarray, s: int) -> np.ndarray:
        """One row of `backup`: Q(s, ·) of a single state, [A]."""
        if not 0 <= s < self.S or np.shape(V) != (self.S,):
            raise ValueError(
                f"state {s}, V of shape {np.shape(V)}: states are 0 to {self.S - 1}, V is ({self.S},)."
            )
        if not self.sparse:
            return self.R[s] + self.gamma * (self.P[s] @ V)
        data, to, first = self.P.data, self.P.indices, self.P.indptr[s :: self.S]
        last = self.P.indptr[s + 1 :: self.S]
        ahead = [data[i:j] @ V[to[i:j]] for i, j in zip(first[: self.A], last, strict=True)]
        return self.R[s] + self.gamma * np.array(ahead)

    def under(self, pi: np.ndarray) -> tuple[np.ndarray | csr_array, np.ndarray]:
        """The chain that a policy makes of the world: P_π [S, S] and r_π [S], actions averaged out.

        pi [S, A] holds probabilities π(a|s). P_π is sparse where P is.
        """
        pi = check_policy(pi, self)
        r_pi = (pi * self.R).sum(axis=1)
        if not self.sparse:
            return np.einsum("sa,sat->st", pi, self.P), r_pi
        s, a = np.nonzero(pi)
        choose = csr_array((pi[s, a], (s, a * self.S + s)), shape=(self.S, self.A * self.S))
        return choose @ self.P, r_pi

    def follow(self, act: np.ndarray) -> tuple[np.ndarray | csr_array, np.ndarray]:
        """`under` for one action a state, act [S] of ints; act[s] = A stands for all actions equally."""
        act = np.asarray(act)
        if act.shape != (self.S,) or not np.issubdtype(act.dtype, np.integer):
            raise ValueError(f"act has shape {act.shape}, type {act.dtype}: give one whole number a state.")
        if act.min() < 0 or act.max() > self.A:
            s = np.flatnonzero((act < 0) | (act > self.A))[0]
            raise ValueError(
                f"act[{s}] is {act[s]}: actions are 0 to {self.A - 1} ({self.A} for all equally)."
            )
        P, R = self._with_average if act.max() == self.A else (self.P, self.R)
        states = np.arange(self.S)
        return P[act * self.S + states] if self.sparse else P[states, act], R[states, act]

    @cached_property
    def _with_average(self) -> tuple[np.ndarray | csr_array, np.ndarray]:
        """P and R with one more action, number A: the average of all. Shapes as P and R, with A + 1 for A."""
        P, R = self.under(np.full(self.R.shape, 1 / self.A))
        both = (
            vstack([self.P, P], format="csr") if self.sparse else np.concatenate([self.P, P[:, None]], axis=1)
        )
        return both, np.column_stack([self.R, R])

    def _any_action(self) -> csr_array:
        """A sparse [S, S] matrix, non-zero where some action leads from s to s'."""
        if not self.sparse:
            return csr_array(self.P.sum(axis=1))
        s, one = np.arange(self.A * self.S), np.ones(self.A * self.S)
        return csr_array((one, (s % self.S, s)), shape=(self.S, len(s))) @ self.P

    def _check_end_in_reach(self) -> None:
        stuck = np.flatnonzero(~_can_reach(self._any_action(), self.terminal))
        if len(stuck):
            raise ValueError(
                f"gamma is 1, but from {self._names(stuck)} no terminal state can be reached, so the sum of "
                "rewards need not converge: use gamma < 1, or mark and connect a terminal state."
            )

    def _names(self, states: np.ndarray, most: int = 3) -> str:
        """'state 4 (1, 2)' for messages, at most a few of them."""
        labels = [""] * self.S if self.labels is None else [f" {label}" for label in self.labels]
        more = f" and {len(states) - most} more" if len(states) > most else ""
        return ", ".join(f"state {s}{labels[s]}" for s in states[:most]) + more


def check_policy(pi: np.ndarray, mdp: MDP) -> np.ndarray:
    """The policy as a float array [S, A]; ValueError if it is not one for this world."""
    pi = numbers("the policy", pi, ndim=2, shape="[S, A]")
    if pi.shape != mdp.R.shape:
        raise ValueError(f"the policy has shape {pi.shape}, but the world has [S, A] = {mdp.R.shape}.")
    bad = np.flatnonzero((pi.min(axis=1) < 0) | (np.abs(pi.sum(axis=1) - 1) > ROW_TOL))
    if len(bad):
        row = pi[bad[0]]
        raise ValueError(
            f"the policy's row for state {bad[0]} is {row}, with sum {row.sum():.6g}: "
            "each row must hold probabilities that sum to 1."
        )
    return pi


def check_values(V: np.ndarray, mdp: MDP) -> np.ndarray:
    """V as a float array [S]; ValueError if it is not one finite number a state."""
    V = numbers("V", V, ndim=1, shape="[S]")
    if len(V) != mdp.S:
        raise ValueError(f"V has {len(V)} entries: give one value a state, {mdp.S} in all.")
    return V


def ends(mdp: MDP, pi: np.ndarray) -> np.ndarray:
    """From which states the policy ends with probability 1, [S] bool: those that cannot reach a trap.

    In a finite chain an episode ends for certain exactly if every state it may visit can still reach the end.
    """
    P_pi = csr_array(mdp.under(pi)[0])
    trapped = ~_can_reach(P_pi, mdp.terminal)
    return ~_can_reach(P_pi, trapped)


def from_gymnasium(env, gamma: float = 0.99) -> MDP:
    """The exact MDP of a tabular Gymnasium environment, read from `env.unwrapped.P`.

    A state that a transition enters with `terminated` becomes a terminal state; `start` is the environment's
    `initial_state_distrib`, and MDP's default where it has none. Time limits are no part of the MDP.
    Raises ValueError where there is no table, or where a state is entered both as an end and in passing from
    states that an episode can reach. (From others it may: Taxi-v4 has such a shadow, and there too it ends.)
    """
    table = getattr(getattr(env, "unwrapped", None), "P", None)
    if not isinstance(table, dict):
        raise ValueError(
            f"{env} has no transition table (a dict at env.unwrapped.P): only tabular environments, made by "
            "gymnasium.make, such as FrozenLake-v1, have one."
        )
    S, A = len(table), len(table[0])
    P, R, terminal = np.zeros((S, A, S)), np.zeros((S, A)), np.zeros(S, bool)
    moves = [(s, a, *move) for s in range(S) for a in range(A) for move in table[s][a] if move[0] != 0]
    for s, a, p, s2, r, terminated in moves:
        P[s, a, s2] += p
        R[s, a] += p * r
        terminal[s2] |= terminated
    P[terminal], R[terminal] = np.eye(S)[terminal][:, None, :], 0.0
    mdp = MDP(P, R, gamma, start=getattr(env.unwrapped, "initial_state_distrib", None), terminal=terminal)
    in_play = _can_reach(mdp._any_action().T.tocsr(), mdp.start > 0) & ~terminal
    both = [s2 for s, _, _, s2, _, terminated in moves if in_play[s] and terminal[s2] and not terminated]
    if both:
        raise ValueError(
            f"state {both[0]} is entered both as an end and in passing: split it into two states."
        )
    return mdp


def random_mdp(
    S: int, A: int, branching: int, *, rng: np.random.Generator, gamma: float = 0.95, sparse: bool = False
) -> MDP:
    """A "Garnet" world (Archibald et al. 1995): each (s, a) leads to `branching` random states.

    The probabilities are the gaps between sorted uniform numbers, rewards are standard normal, nothing is
    terminal. ValueError for sizes that are no positive whole numbers, or branching above S.
    """
    for name, size in (("S", S), ("A", A), ("branching", branching)):
        if not isinstance(size, Integral) or size < 1:
            raise ValueError(f"{name} is {size!r}: it must be a whole number from 1.")
    if branching > S:
        raise ValueError(f"branching is {branching}: with S = {S} states it can be at most {S}.")
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng is {rng!r}: give a NumPy generator, such as np.random.default_rng(0).")
    next_states = _distinct(S, A * S, branching, rng)
    cuts = np.sort(rng.random((A * S, branching - 1)), axis=1)
    p = np.diff(cuts, axis=1, prepend=0.0, append=1.0)
    P = csr_array((p.ravel(), next_states.ravel(), np.arange(0, p.size + 1, branching)), shape=(A * S, S))
    R = rng.standard_normal((S, A))
    return MDP(P if sparse else P.toarray().reshape(A, S, S).swapaxes(0, 1), R, gamma)


def _distinct(n: int, rows: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """`rows` draws of k distinct numbers below n, [rows, k] (Floyd's sampling, all rows at once)."""
    draw = np.empty((rows, k), dtype=np.int64)
    for i, top in enumerate(range(n - k, n)):
        new = rng.integers(top + 1, size=rows)
        taken = (draw[:, :i] == new[:, None]).any(axis=1)
        draw[:, i] = np.where(taken, top, new)
    return draw


def _can_reach(moves: csr_array, goal: np.ndarray) -> np.ndarray:
    """From which states some path of `moves` [S, S] reaches a state of `goal` [S] bool; [S] bool."""
    S = len(goal)
    to_goal = csr_array(goal.astype(float)[None, :])  # one extra node that leads back into every goal state
    backwards = vstack([moves.T, to_goal], format="csr")
    backwards = csr_array((backwards.data, backwards.indices, backwards.indptr), shape=(S + 1, S + 1))
    found = breadth_first_order(backwards, S, return_predecessors=False)
    reach = np.zeros(S + 1, bool)
    reach[found] = True
    return reach[:S]
