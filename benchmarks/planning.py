"""How fast the planners are, beside other packages: `python benchmarks/planning.py` prints one table.

Every method solves the same worlds (γ = .99) to V right to 1e-6, on one thread, warmed up. The table holds
medians of processor time; ours and theirs take turns, so that a busy machine slows all alike. The peers
(peers.txt) live in their own environment, benchmarks/.peers, made on first use, and run in their own process
(planning_peers.py). `--quick` runs small worlds without peers, in seconds.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))
sys.path.insert(0, str(Path(__file__).parent.parent))  # the course need not be installed

import numpy as np
from scipy.sparse import csr_array

from course_lib.agents.planning import last, solve, value_iteration
from course_lib.worlds.grids import gridworld
from course_lib.worlds.mdp import MDP, random_mdp

HERE = Path(__file__).parent
GAMMA, TOL = 0.99, 1e-6
TURNS = 7
LARGE = ("grid 50", "grid 200", "Garnet 1000", "Garnet 10000")
MODIFIED = "quantecon modified PI, "
LOOP = "plain Python loop"
GOALS = [  # (their method, our method, how many times faster ours must be, on which worlds)
    ("quantecon value iteration", "value_iteration", 1.2, LARGE),
    (MODIFIED + "best k", "solve", 1.0, LARGE),
    ("pymdptoolbox VI, made and run", "solve", 100, ("grid 50", "Garnet 1000")),
    (LOOP, "solve", 300, LARGE),
]


def grid(n: int) -> MDP:
    """An empty n × n grid with a goal in one corner."""
    return gridworld("\n".join(["." * n] * (n - 1) + ["." * (n - 1) + "G"]), slip=0.2, gamma=GAMMA)


def garnet(S: int) -> MDP:
    return random_mdp(S, 10, 5, rng=np.random.default_rng(0), gamma=GAMMA, sparse=True)


WORLDS = {
    "grid 10": lambda: grid(10),
    "grid 50": lambda: grid(50),
    "grid 200": lambda: grid(200),
    "Garnet 1000": lambda: garnet(1_000),
    "Garnet 10000": lambda: garnet(10_000),
}
QUICK = {"grid 10": WORLDS["grid 10"], "grid 25": lambda: grid(25), "Garnet 200": lambda: garnet(200)}


def stopwatch(run: Callable) -> Callable[[], float]:
    """A function that runs `run` and returns the milliseconds of processor time it took."""

    def timed() -> float:
        began = time.process_time()
        run()
        return 1e3 * (time.process_time() - began)

    return timed


def take_turns(methods: dict[str, Callable[[], float]], turns: int) -> dict[str, float]:
    """Median milliseconds of each method: up to 20 runs a turn, but one in all for those that take long."""
    times, runs = {}, {}
    for name, run in methods.items():
        began = time.perf_counter()  # what a run takes with its preparation
        times[name] = [run()]
        seconds = time.perf_counter() - began
        runs[name] = int(np.clip(0.1 / seconds, seconds < 2, 20))
    for _ in range(turns):
        for name, run in methods.items():
            times[name] += [run() for _ in range(runs[name])]
    return {name: median(ms) for name, ms in times.items()}


def plain_sweeps(mdp: MDP, V_star: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """One sweep of value iteration from V* over a Gymnasium table, in plain Python: the way it is copied from
    course to course, with arrays for V and Q that are read number by number, and the same with lists."""
    P = by_row(mdp)
    rows = np.split(np.column_stack([P.data, P.indices]), P.indptr[1:-1])
    table = [
        [[(p, int(s2), float(mdp.R[s, a])) for p, s2 in rows[a * mdp.S + s].tolist()] for a in range(mdp.A)]
        for s in range(mdp.S)
    ]

    def sweep(V, zeros):
        V_new = zeros(mdp.S)
        for s in range(mdp.S):
            Q = zeros(mdp.A)
            for a in range(mdp.A):
                for p, s2, r in table[s][a]:
                    Q[a] += p * (r + GAMMA * V[s2])
            V_new[s] = max(Q)
        return np.array(V_new)

    return {
        LOOP: lambda: sweep(V_star, np.zeros),
        LOOP + ", lists only": lambda: sweep(V_star.tolist(), lambda n: [0.0] * n),
    }


def by_row(mdp: MDP) -> csr_array:
    """P as [A·S, S], row a·S + s, whichever way it is stored."""
    return mdp.P if mdp.sparse else csr_array(mdp.P.swapaxes(0, 1).reshape(-1, mdp.S))


def peers_python() -> Path:
    """The Python of the peers' own environment, which is made if it is not there."""
    home = HERE / ".peers"
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (home / "complete").exists():
        venv.create(home, with_pip=True, clear=True)
        (home / ".gitignore").write_text("*\n")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", HERE / "peers.txt"], check=True)
        (home / "complete").touch()
    return python


def start_peers(mdp: MDP, folder: str) -> tuple[subprocess.Popen, dict[str, np.ndarray]]:
    """The peers' process, ready to run a method for each name it reads, and each method's V."""
    P, world, answer = by_row(mdp), Path(folder, "world.npz"), Path(folder, "answer.npz")
    np.savez(world, data=P.data, indices=P.indices, indptr=P.indptr, R=mdp.R, gamma=GAMMA, tol=TOL)
    command = [peers_python(), HERE / "planning_peers.py", world, answer]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdout.readline().strip() != "ready":
        sys.exit("the peers' process did not start; its own message is above")
    return process, dict(np.load(answer))


def ask(process: subprocess.Popen, name: str) -> float:
    """Let the peers' process run one method once: milliseconds."""
    process.stdin.write(name + "\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def measure(mdp: MDP, with_peers: bool) -> dict[str, tuple[float, float]]:
    """Milliseconds and largest error of V of every method."""
    V_star, _ = solve(mdp, 1e-10)
    loops, sweeps = plain_sweeps(mdp, V_star), sum(1 for _ in value_iteration(mdp, TOL)) - 1
    ours = {"solve": lambda: solve(mdp, TOL)[0], "value_iteration": lambda: last(value_iteration(mdp, TOL))}
    V = {name: run() for name, run in (ours | loops).items()}
    methods = {name: stopwatch(run) for name, run in ours.items()}
    with tempfile.TemporaryDirectory() as folder:
        if with_peers:
            process, V_peers = start_peers(mdp, folder)
            methods |= {name: lambda name=name: ask(process, name) for name in V_peers}
            V |= V_peers
        ms = take_turns(methods, TURNS if with_peers else 3)
        if with_peers:
            process.stdin.close()
            process.wait(timeout=60)
    for name, sweep in loops.items():  # a whole run would take minutes: a sweep, times how many it takes
        ms[name] = sweeps * median(stopwatch(sweep)() for _ in range(5))
    return pick_best_k({name: (ms[name], float(np.abs(V[name] - V_star).max())) for name in V})


def pick_best_k(found: dict) -> dict:
    """Modified policy iteration was tried with several numbers of sweeps: keep the usual 20, and the best."""
    tried = {name: result for name, result in found.items() if name.startswith(MODIFIED)}
    kept = {name: result for name, result in found.items() if name not in tried}
    if tried:
        kept[MODIFIED + "k = 20"] = tried[MODIFIED + "k = 20"]
        kept[MODIFIED + "best k"] = min(tried.values())
    return kept


def table(results: dict[str, dict]) -> str:
    """Rows: methods; columns: worlds; in brackets the times that ours takes, and V's error above 1e-6."""
    rivals = {theirs: our for theirs, our, *_ in GOALS}
    lines = [
        f"| processor ms, V right to {TOL:g} | " + " | ".join(results) + " |",
        "|---" * (len(results) + 1) + "|",
    ]
    for method in dict.fromkeys(method for found in results.values() for method in found):
        is_ours = method in ("solve", "value_iteration")
        cells = [f"**`{method}`**" if is_ours else method]
        for found in results.values():
            ms, error = found.get(method, (None, 0.0))
            our = rivals.get(method, "solve")
            ratio = "" if is_ours or ms is None else f" ({ms / found[our][0]:.3g}× `{our}`)"
            off = f", V off by {error:.2g}" if error > TOL else ""
            cells.append("cannot" if ms is None else f"{ms:.3g}{ratio}{off}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def missed(results: dict[str, dict]) -> list[str]:
    """In words: the goals that these results do not reach, and our own values that are off."""
    wrong = [
        f"{world}: {name} has V off by {found[name][1]:.2g}"
        for world, found in results.items()
        for name in ("solve", "value_iteration", LOOP)
        if found[name][1] > TOL
    ]
    return wrong + [
        f"{world}: {theirs} takes {ratio:.3g} times as long as our {our}, the goal is {goal}"
        for theirs, our, goal, worlds in GOALS
        for world in worlds
        if theirs in results.get(world, {})
        and (ratio := results[world][theirs][0] / results[world][our][0]) < goal
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small worlds, no peers")
    quick = parser.parse_args().quick
    results = {name: measure(make(), not quick) for name, make in (QUICK if quick else WORLDS).items()}
    print(table(results))
    if misses := missed(results):
        sys.exit("\n".join(misses))


if __name__ == "__main__":
    main()
