"""The comparison of chapter 22: a search on validation tasks, then its winners on test tasks, all by sweeps.

    python benchmarks/compare.py              all of it, a quarter of an hour; writes the chapter's data
    python benchmarks/compare.py --quick      small budgets and few draws; minutes, written nowhere
    python benchmarks/compare.py --part search:0/2     every second run of the search; others elsewhere;
    python benchmarks/compare.py --part compare:0/2    then of the comparison; at last without --part

Every run is stored in --folder as it ends: a killed command goes on where it was. On a cluster, see
deploy/cluster.md.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is loaded

import argparse
import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from course_lib import repro
from course_lib.meta import compare
from course_lib.sweeps import sweep

DATA = ROOT / "chapters" / "data" / "22_comparison.npz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small budgets, few draws")
    parser.add_argument("--folder", default="results/compare")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--on", default="processes", help="processes, dask or ray")
    parser.add_argument("--address", default=None, help="of a cluster that is there already")
    parser.add_argument("--part", default="", help="search:k/n or compare:k/n")
    parser.add_argument("--seeds", type=int, default=len(compare.SEEDS), help="how many sets of draws")
    parser.add_argument("--out", default="", help="where to write the data instead")
    args = parser.parse_args()
    budgets, draws = ((20_000, 40_000), 3) if args.quick else (compare.BUDGETS, 10)
    seeds = compare.SEEDS[: args.seeds]
    stage, share = args.part.split(":") if args.part else ("", "0/1")
    tries = compare.search_runs(budgets)
    searched = done(tries, args, share if stage == "search" else "0/1")
    if stage == "search":
        return
    best = compare.winners(tries, searched)
    runs = compare.compare_runs(best, seeds, draws)
    results = done(runs, args, share)
    if stage == "compare":
        return
    table = compare.gathered(runs, results) | compare.gathered_search(tries, searched)
    if args.out or not args.quick:
        repro.store(Path(args.out or DATA), table, seed=0)
    for (method, family, budget), number in best.items():
        scores = table[f"{family}: score"][list(compare.METHODS).index(method), budgets.index(budget)]
        print(
            f"{family:10} {budget:9,} {method:17} {scores.mean():6.2f}  {compare.METHODS[method][2][number]}"
        )


def done(runs: list[dict], args, share: str) -> list[dict]:
    """The results of these runs, or of a share of them, k/n; SystemExit if one failed."""
    k, n = map(int, share.split("/"))
    mixed = random.Random(0).sample(runs, len(runs)) if n > 1 else runs  # slow and fast ones to everybody
    how = dict(workers=args.workers, on=args.on, address=args.address)
    results, failures = sweep(compare.run, mixed[k::n], args.folder, **how)
    if failures:
        raise SystemExit(f"{len(failures)} runs failed, the first: {failures[0].run}\n{failures[0].trouble}")
    return results


if __name__ == "__main__":
    main()
