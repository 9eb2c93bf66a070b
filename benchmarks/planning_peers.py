"""Times the peers of planning.py, in their own environment: planning_peers.py WORLD.npz ANSWER.npz."""

import resource
import signal
import sys
import time
import warnings
from statistics import median

import mdptoolbox.mdp
import numpy as np
from quantecon.markov import DiscreteDP
from scipy.sparse import csr_matrix

PATIENCE = 60  # seconds for one method
MEMORY = 12 << 30  # bytes; above, a method counts as one that cannot run there
INNER = (5, 10, 20, 50)  # inner sweeps of modified policy iteration that are tried


def timed(run, seconds=2.0):
    """(median milliseconds, the result), after a warm-up that also compiles; TimeoutError after PATIENCE."""
    signal.alarm(PATIENCE)
    began = time.perf_counter()
    result = run()
    warm = time.perf_counter() - began
    times = [warm] if warm > seconds else []
    while warm <= seconds and (len(times) < 3 or (sum(times) < seconds and len(times) < 50)):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    signal.alarm(0)
    return 1e3 * median(times), result


def quantecon(P, R, gamma, tol):
    """Sparse value iteration and modified policy iteration; epsilon = 2·tol is V right to tol there."""
    S, A = R.shape
    s, a = np.repeat(np.arange(S), A), np.tile(np.arange(A), S)
    model = DiscreteDP(R.ravel(), P[a * S + s], gamma, s, a)

    def solve(method, **settings):
        return timed(lambda: model.solve(method, epsilon=2 * tol, max_iter=10**6, **settings).v)

    yield "quantecon value iteration", *solve("vi")
    by_k = {k: solve("mpi", k=k) for k in INNER}
    yield "quantecon modified PI, k = 20", *by_k[20]
    yield "quantecon modified PI, best k", *min(by_k.values(), key=lambda found: found[0])


def pymdptoolbox(P, R, gamma, tol):
    """Value iteration; its constructor already computes (how many sweeps it may need): both parts count."""
    S, A = R.shape
    P = [P[a * S : (a + 1) * S] for a in range(A)]
    run_ms = []

    def run():
        solver = mdptoolbox.mdp.ValueIteration(P, R, gamma, epsilon=tol)
        began = time.perf_counter()
        solver.run()
        run_ms.append(1e3 * (time.perf_counter() - began))
        return np.array(solver.V)

    ms, V = timed(run)
    yield "pymdptoolbox VI, made and run", ms, V
    yield "pymdptoolbox VI, run alone", median(run_ms), V


def give_up(*_):
    raise TimeoutError(f"no answer within {PATIENCE} s")


def main(world, answer):
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, give_up)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    w = np.load(world)
    S, A = w["R"].shape
    P = csr_matrix((w["data"], w["indices"], w["indptr"]), shape=(A * S, S))
    found = {}
    for package in (quantecon, pymdptoolbox):
        try:
            for name, ms, V in package(P, w["R"], float(w["gamma"]), float(w["tol"])):
                found |= {"ms " + name: ms, "V " + name: V}
        except (TimeoutError, MemoryError) as error:
            print(f"{package.__name__} cannot do this: {error!r}", file=sys.stderr)
    np.savez(answer, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
