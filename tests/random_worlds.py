"""Random worlds for the property tests: small, with many ties, absorbing states, and always the same ones."""

from itertools import product

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from course_lib.worlds.mdp import MDP

fixed = settings(derandomize=True, deadline=None, max_examples=50, database=None)


def fixed_rng(seed: int) -> np.random.Generator:
    """default_rng(seed), which `--reseed` leaves alone: for the one world whose numbers a test quotes."""
    return np.random.Generator(np.random.PCG64(seed))


@st.composite
def worlds(draw, gammas=(0.0, 0.5, 0.9, 0.99), max_states=6, max_actions=3, sparse=None, terminal=True):
    """Up to 3 next states with chances in quarters, rewards −1, 0 or 1, some states terminal: ties abound."""
    S, A = draw(st.integers(1, max_states)), draw(st.integers(1, max_actions))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    P = np.zeros((S, A, S))
    for quarter in (0.25, 0.25, 0.5):
        np.add.at(P, (*np.indices((S, A)), rng.integers(S, size=(S, A))), quarter)
    R = rng.integers(-1, 2, size=(S, A)).astype(float)
    ends = (rng.random(S) < 0.2) & terminal
    P[ends], R[ends] = np.eye(S)[ends][:, None], 0.0
    gamma = draw(st.sampled_from(gammas))
    if draw(st.booleans()) if sparse is None else sparse:
        return MDP(by_row(P), R, gamma, terminal=ends)
    return MDP(P, R, gamma, terminal=ends)


def by_row(P: np.ndarray) -> csr_array:
    """[S, A, S] as sparse [A·S, S]."""
    return csr_array(P.swapaxes(0, 1).reshape(-1, P.shape[2]))


def dense(mdp: MDP) -> np.ndarray:
    """P as [S, A, S], entry by entry, whichever way it is stored."""
    if not mdp.sparse:
        return mdp.P
    rows = mdp.P.toarray()
    return np.array([[rows[a * mdp.S + s] for a in range(mdp.A)] for s in range(mdp.S)])


def random_policy(mdp: MDP, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pi = rng.random((mdp.S, mdp.A)) * (rng.random((mdp.S, mdp.A)) < 0.7) + 1e-3
    return pi / pi.sum(axis=1, keepdims=True)


def best_by_enumeration(mdp: MDP) -> np.ndarray:
    """V* the slow way: every deterministic policy evaluated by its own linear system; needs γ < 1."""
    P, s = dense(mdp), np.arange(mdp.S)
    values = [
        np.linalg.solve(np.eye(mdp.S) - mdp.gamma * P[s, act], mdp.R[s, act])
        for act in map(list, product(range(mdp.A), repeat=mdp.S))
    ]
    return np.max(values, axis=0)
