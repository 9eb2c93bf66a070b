"""How fast the planners are, beside other packages: `python benchmarks/planning.py` prints one table.

Every method solves the same worlds (γ = .99) to V right to 1e-6, on one thread, median of several runs. The
peers (peers.txt) live in their own environment, benchmarks/.peers, made on first use, and run in their own
process (planning_peers.py). `--quick` runs small worlds without peers, in seconds.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from statistics import median

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

import numpy as np
from scipy.sparse import csr_array

from course_lib.agents.planning import last, solve, value_iteration
from course_lib.worlds.grids import gridworld
from course_lib.worlds.mdp import MDP, random_mdp

HERE = Path(__file__).parent
GAMMA, TOL = 0.99, 1e-6
GOALS = [  # (their method, our method, at least so many times faster, on these cases)
    (
        "quantecon value iteration",
        "value_iteration",
        1.2,
        ("grid 50", "grid 200", "Garnet 1000", "Garnet 10000"),
    ),
    ("quantecon modified PI, best k", "solve", 1.0, ("grid 50", "grid 200", "Garnet 1000", "Garnet 10000")),
    ("pymdptoolbox VI, made and run", "solve", 100, ("grid 50", "Garnet 1000")),
    ("plain Python loop", "solve", 300, ("grid 50", "grid 200", "Garnet 1000", "Garnet 10000")),
]


def grid(n: int) -> MDP:
    """An empty n × n grid with a goal in one corner, sparse as large worlds are."""
    text_map = "\n".join(["." * n] * (n - 1) + ["." * (n - 1) + "G"])
    return gridworld(text_map, slip=0.2, gamma=GAMMA)


def garnet(S: int) -> MDP:
    return random_mdp(S, 10, 5, rng=np.random.default_rng(0), gamma=GAMMA, sparse=True)


CASES = {
    "grid 10": lambda: grid(10),
    "grid 50": lambda: grid(50),
    "grid 200": lambda: grid(200),
    "Garnet 1000": lambda: garnet(1_000),
    "Garnet 10000": lambda: garnet(10_000),
}
QUICK = {"grid 10": CASES["grid 10"], "grid 25": lambda: grid(25), "Garnet 200": lambda: garnet(200)}


def timed(run, seconds: float = 2.0) -> float:
    """Median milliseconds of `run`, repeated 3 to 50 times within about these seconds, after a warm-up."""
    run()
    times = []
    while len(times) < 3 or (sum(times) < seconds and len(times) < 50):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return 1e3 * median(times)


def ours(mdp: MDP, V_star: np.ndarray) -> dict[str, tuple[float, float]]:
    """Milliseconds and error of each of our methods, and of the loop that usual course code runs."""
    methods = {
        "solve": lambda: solve(mdp, TOL)[0],
        "value_iteration": lambda: last(value_iteration(mdp, TOL)),
    }
    found = {name: (timed(run), float(np.abs(run() - V_star).max())) for name, run in methods.items()}
    sweeps = sum(1 for _ in value_iteration(mdp, TOL)) - 1
    ms, error = plain_sweep(mdp, V_star)
    return found | {"plain Python loop": (sweeps * ms, error)}


def plain_sweep(mdp: MDP, V_star: np.ndarray) -> tuple[float, float]:
    """One sweep of value iteration in plain Python: milliseconds, and how much it changes V*."""
    P, V = by_row(mdp), V_star.tolist()
    entries = list(zip(P.data.tolist(), P.indices.tolist(), strict=True))
    rows = [entries[i:j] for i, j in zip(P.indptr[:-1], P.indptr[1:], strict=True)]
    ways = [list(zip(mdp.R[s].tolist(), rows[s :: mdp.S], strict=True)) for s in range(mdp.S)]

    def sweep():
        return [max(r + GAMMA * sum(p * V[s2] for p, s2 in row) for r, row in ways[s]) for s in range(len(V))]

    return timed(sweep, seconds=1.0), float(np.abs(np.array(sweep()) - V_star).max())


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


def peers(mdp: MDP, V_star: np.ndarray) -> dict[str, tuple[float, float]]:
    """Milliseconds and error of each peer's methods, measured in their own process."""
    with tempfile.TemporaryDirectory() as folder:
        world, answer = Path(folder, "world.npz"), Path(folder, "answer.npz")
        P = by_row(mdp)
        np.savez(world, data=P.data, indices=P.indices, indptr=P.indptr, R=mdp.R, gamma=GAMMA, tol=TOL)
        subprocess.run([peers_python(), HERE / "planning_peers.py", world, answer], check=True, timeout=1_000)
        found = np.load(answer)
        names = [key.removeprefix("V ") for key in found if key.startswith("V ")]
        error = {name: float(np.abs(found["V " + name] - V_star).max()) for name in names}
        return {name: (float(found["ms " + name]), error[name]) for name in names}


def table(results: dict[str, dict]) -> str:
    """Rows: methods; columns: cases; how many times longer than ours in brackets; V's error where above 1e-6."""
    rivals = {theirs: our for theirs, our, *_ in GOALS}
    methods = list(dict.fromkeys(method for row in results.values() for method in row))
    lines = [f"| ms, V right to {TOL:g} | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    for method in methods:
        cells = [f"**{method}**" if method in ("solve", "value_iteration") else method]
        for row in results.values():
            ms, error = row.get(method, (np.nan, 0.0))
            our = rivals.get(method, "solve" if "," in method else None)
            ratio = f" ({ms / row[our][0]:.3g}×)" if our else ""
            off = f", V off by {error:.2g}" if error > TOL else ""
            cells.append("–" if np.isnan(ms) else f"{ms:.3g}{ratio}{off}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def missed(results: dict[str, dict]) -> list[str]:
    """The goals that these results do not reach, in words."""
    return [
        f"{case}: {theirs} takes {ratio:.3g} times our {our}, the goal is {goal}"
        for theirs, our, goal, cases in GOALS
        for case in cases
        if case in results and theirs in results[case]
        if (ratio := results[case][theirs][0] / results[case][our][0]) < goal
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small worlds, no peers")
    quick = parser.parse_args().quick
    results = {}
    for name, make in (QUICK if quick else CASES).items():
        mdp = make()
        V_star, _ = solve(mdp, 1e-10)
        results[name] = ours(mdp, V_star) | ({} if quick else peers(mdp, V_star))
        wrong = {m: results[name][m][1] for m in ("solve", "value_iteration") if results[name][m][1] > TOL}
        if wrong:
            sys.exit(f"{name}: our own V is off: {wrong}")
    print(table(results))
    if misses := missed(results):
        sys.exit("\n".join(misses))


if __name__ == "__main__":
    main()
