"""All side-by-side benchmarks, one after the other, and one page with their tables: benchmarks/RESULTS.md.

    python benchmarks/page.py                      an hour and a half on a quiet machine
    python benchmarks/page.py planning tabular     only these; the page keeps the other tables as they were
    python benchmarks/page.py --quick              minutes: small cases, no peers; prints, writes nothing

Each benchmark is a script of its own in this folder and prints Markdown tables. What a script prints is kept
with the day, the machine and the versions. Peers install in environments of their own (see peers.txt).
"""

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from tqdm import tqdm

HERE = Path(__file__).resolve().parent
PAGE = HERE / "RESULTS.md"
SCRIPTS = {  # in the order of the chapters; each title is the question that its table answers
    "slider_latency": "How long from the key press to the right picture?",
    "planning": "How fast are the planners, beside other packages?",
    "tabular": "How many steps of Q-learning a second, beside the usual loop?",
    "search": "How fast and how strong is tree search, beside OpenSpiel's?",
    "deep": "DQN and PPO, beside Stable-Baselines3",
    "meta": "Exact meta-gradients, beside sampled ones",
    "sweep_scaling": "Does a sweep take half the time on two workers?",
}
QUICK = ("planning", "tabular", "search", "deep", "meta", "sweep_scaling")  # those that have a --quick
VERSIONS = ("numpy", "scipy", "torch", "gymnasium", "jupyterlab", "ipywidgets")
HEAD = """# Benchmarks

Made by `python benchmarks/page.py`; each section by the script of its name. A ratio holds on any machine, a
second only on this one. Where a script says that a goal is missed, its section says so too.
"""


def machine() -> str:
    """Processor, cores and versions, in one line."""
    name = platform.processor() or platform.machine()
    with_model = Path("/proc/cpuinfo")
    if with_model.exists():
        found = re.search(r"model name\s*:\s*(.+)", with_model.read_text())
        name = found[1] if found else name
    versions = ", ".join(f"{package} {metadata.version(package).split('+')[0]}" for package in VERSIONS)
    return f"{name}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}"


def run(script: str, quick: bool) -> str:
    """A section of the page: the tables that a script prints, and what it complains of if it fails."""
    began = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    command = [sys.executable, HERE / f"{script}.py", *(["--quick"] if quick else [])]
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    day = datetime.date.today().isoformat()
    lines = [
        f"## {SCRIPTS[script]}",
        "",
        f"`benchmarks/{script}.py`, {day}, load at the start {began:.1f}",
        "",
    ]
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["nothing was printed"]
        lines += [f"**It ended with {done.returncode}: {last[0]}**", ""]
    return "\n".join([*lines, done.stdout.strip(), ""])


def sections(page: str) -> dict[str, str]:
    """The sections of a page that was written before, by script."""
    parts = re.split(r"(?m)^(?=## )", page)[1:]
    names = [re.search(r"benchmarks/(\w+)\.py", part) for part in parts]
    return {name[1]: part.strip() + "\n" for name, part in zip(names, parts, strict=True) if name}


def write(found: dict[str, str]) -> None:
    old = sections(PAGE.read_text("utf-8")) if PAGE.exists() else {}
    kept = [(old | found)[script] for script in SCRIPTS if script in old | found]
    PAGE.write_text("\n".join([HEAD, f"Machine of the last run: {machine()}.\n", *kept]), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scripts", nargs="*", metavar="NAME", help=f"of: {', '.join(SCRIPTS)}")
    parser.add_argument("--quick", action="store_true", help="small cases; the page is left alone")
    options = parser.parse_args()
    if unknown := set(options.scripts) - set(SCRIPTS):
        parser.error(f"no benchmark {sorted(unknown)[0]!r}: there are {', '.join(SCRIPTS)}")
    names = options.scripts or [name for name in SCRIPTS if not options.quick or name in QUICK]
    for name in tqdm(names, desc="benchmarks"):
        section = run(name, options.quick)
        if options.quick:
            tqdm.write(section)
        else:
            write({name: section})


if __name__ == "__main__":
    main()
