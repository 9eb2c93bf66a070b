"""The peers of planning.py, in their own environment: planning_peers.py WORLD.npz ANSWER.npz.

Warms every method up, writes each one's V to ANSWER and prints "ready"; then, for each name of a method on a
line of its input, runs that once and prints the milliseconds of processor time.
"""

import resource
import signal
import sys
import time
import warnings

import mdptoolbox.mdp
import numpy as np
from quantecon.markov import DiscreteDP
from scipy.sparse import csr_matrix

PATIENCE = 60  # seconds for one method
MEMORY = 12 << 30  # bytes; a method that needs more counts as one that cannot solve this world


def quantecon(P, R, gamma, tol):
    """Sparse value iteration and modified policy iteration; epsilon = 2·tol is V right to tol there."""
    S, A = R.shape
    s, a = np.repeat(np.arange(S), A), np.tile(np.arange(A), S)
    model = DiscreteDP(R.ravel(), P[a * S + s], gamma, s, a)

    def method(name, **settings):
        return None, lambda _: model.solve(name, epsilon=2 * tol, max_iter=10**6, **settings).v

    methods = {f"quantecon modified PI, k = {k}": method("mpi", k=k) for k in (5, 10, 20, 50)}
    return {"quantecon value iteration": method("vi")} | methods


def pymdptoolbox(P, R, gamma, tol):
    """Value iteration. Its constructor already works (how many sweeps can be needed?), so that counts too."""
    S, A = R.shape
    P = [P[a * S : (a + 1) * S] for a in range(A)]

    def make():
        return mdptoolbox.mdp.ValueIteration(P, R, gamma, epsilon=tol)

    def run(solver):
        solver.run()
        return np.array(solver.V)

    return {
        "pymdptoolbox VI, made and run": (None, lambda _: run(make())),
        "pymdptoolbox VI, run alone": (make, run),
    }


def timed(prepare, run):
    """(processor milliseconds of run, its result); what prepare does is not counted."""
    prepared = prepare() if prepare else None
    began = time.process_time()
    result = run(prepared)
    return 1e3 * (time.process_time() - began), result


def give_up(*_):
    raise TimeoutError(f"no answer within {PATIENCE} s")


def warm_up(methods):
    """Each method's V, of those that can solve this world in time and memory."""
    V = {}
    for name, method in methods.items():
        signal.alarm(PATIENCE)
        try:
            _, V[name] = timed(*method)
        except (TimeoutError, MemoryError) as error:
            print(f"{name} cannot: {error!r}", file=sys.stderr)
        signal.alarm(0)
    return V


def main(world, answer):
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, give_up)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    w = np.load(world)
    S, A = w["R"].shape
    P = csr_matrix((w["data"], w["indices"], w["indptr"]), shape=(A * S, S))
    methods = {}
    for package in (quantecon, pymdptoolbox):
        methods |= package(P, w["R"], float(w["gamma"]), float(w["tol"]))
    np.savez(answer, **warm_up(methods))
    print("ready", flush=True)
    for line in sys.stdin:
        print(timed(*methods[line.strip()])[0], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
