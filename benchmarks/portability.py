"""Do the stored outputs hold on other machines? nbval on every notebook, where rounding is different.

    python benchmarks/portability.py                        all conditions, an hour: a Markdown table
    python benchmarks/portability.py 03 14 --only threads   some chapters, some conditions
    python benchmarks/portability.py --python /usr/bin/python3.13   another Python, chapters without torch
    python benchmarks/portability.py --newest               the newest versions that pyproject.toml allows

A condition is a set of environment variables, such as the processor type that OpenBLAS is told to work for;
each run is a process of its own. Another Python, and the newest versions, get an environment of their own in
benchmarks/.peers. Exits with 1 where a cell fails, and names it.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NO_AVX = "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"  # as NumPy groups them: AVX2 and FMA, then AVX-512
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
OLD_TORCH = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
CONDITIONS = {
    "as it is": {},
    "threads: one": dict.fromkeys(THREADS, "1"),
    "threads: two": dict.fromkeys(THREADS, "2"),
    "torch: no AVX": OLD_TORCH,
    "torch: AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"},
    "OpenBLAS: Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "OpenBLAS: Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "OpenBLAS: SkylakeX": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "NumPy: no AVX": {"NPY_DISABLE_CPU_FEATURES": NO_AVX},
    "an old machine": {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": NO_AVX, **OLD_TORCH},
    "hash seed and time zone": {"PYTHONHASHSEED": "12345", "TZ": "Asia/Shanghai", "LC_ALL": "C"},
}


class Outcome(NamedTuple):
    cells: int
    failed: list[str]  # "notebook, cell", with the first line of what differs
    seconds: float


def notebooks(chapters: list[str], torch: bool = True) -> list[Path]:
    """The notebooks of these chapters (all by default), with their solutions; without torch, of 00 to 09."""
    found = sorted(
        path for path in ROOT.glob("chapters/**/*.ipynb") if ".ipynb_checkpoints" not in path.parts
    )
    if not torch:
        found = [path for path in found if path.name[0] == "0"]
    found = [path for path in found if not chapters or path.name.startswith(tuple(chapters))]
    if not found:
        sys.exit(f"no notebook begins with {' or '.join(chapters)}: give numbers as in chapters/.")
    return found


def replay(python: Path, variables: dict[str, str], paths: list[Path]) -> Outcome:
    """nbval on the notebooks, in a process with these environment variables."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        plain = {name: value for name, value in os.environ.items() if name not in THREADS}
        settings = ["-q", "-c", ROOT / "pyproject.toml", "--noconftest", "-p", "no:cacheprovider"]
        settings.append(f"--junitxml={report}")
        command = [python, "-m", "pytest", *settings, *paths]
        done = subprocess.run(command, cwd=ROOT, env=plain | variables, capture_output=True, text=True)
        if not report.exists():
            return Outcome(0, [(done.stdout + done.stderr).strip()[-300:] or "no report"], 0.0)
        cases = list(ElementTree.parse(report).getroot().iter("testcase"))
        if not cases:
            return Outcome(0, ["no cell was found"], 0.0)
    failed = [f"{case.get('classname')} {case.get('name')}{reason(case)}" for case in cases if troubles(case)]
    return Outcome(len(cases), failed, time.monotonic() - began)


def troubles(case: ElementTree.Element) -> list[ElementTree.Element]:
    return [*case.iter("failure"), *case.iter("error")]


def reason(case: ElementTree.Element) -> str:
    """What differs, in one line, without nbval's colours."""
    words = re.sub(r"(\x1b|#x1B)\[\d*m", "", troubles(case)[0].text or "")
    _, _, differs = words.rpartition("Traceback:")  # what comes before is the cell's own code
    lines = [line.strip() for line in differs.splitlines() if line.strip()]
    told = [line for line in lines if line[0] in "+-"] or lines  # pytest's: new and stored
    return ": " + " | ".join(told)[:300]


def environment(name: str, python: str, constraints: list[str]) -> Path:
    """The Python of an environment in benchmarks/.peers with the course in it, made anew."""
    home = HERE / ".peers" / name
    if python == sys.executable:
        venv.create(home, with_pip=True, clear=True)
    else:
        subprocess.run([python, "-m", "venv", "--clear", home], check=True)
    inside = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, *constraints, "torch==2.13.0"], check=True, cwd=ROOT
    )  # first: plain torch is larger
    subprocess.run([*pip, *constraints, "-e", ".[test]"], check=True, cwd=ROOT)
    (HERE / ".peers" / ".gitignore").write_text("*\n")
    return inside


def table(outcomes: dict[str, Outcome]) -> str:
    rows = ["| condition | cells | failed | minutes |", "|---|---|---|---|"]
    for name, (cells, failed, seconds) in outcomes.items():
        rows.append(f"| {name} | {cells} | {len(failed)} | {seconds / 60:.0f} |")
    return "\n".join(rows)


def plan(options: argparse.Namespace) -> dict[str, tuple[Path, dict[str, str], list[Path]]]:
    """What to run: by name, the Python, the variables and the notebooks."""
    here, everything = Path(sys.executable), notebooks(options.chapters)
    if options.python:
        name = Path(options.python).name
        python = environment(name, options.python, ["-c", "constraints.txt"])
        return {name: (python, {}, notebooks(options.chapters, torch=False))}
    if options.newest:
        return {"newest versions": (environment("newest", sys.executable, []), {}, everything)}
    chosen = {k: v for k, v in CONDITIONS.items() if not options.only or options.only.lower() in k.lower()}
    if not chosen:
        sys.exit(f"no condition has {options.only!r} in its name: there are {', '.join(CONDITIONS)}.")
    return {name: (here, variables, everything) for name, variables in chosen.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapters", nargs="*", help="numbers such as 03; all by default")
    parser.add_argument("--only", default="", help="conditions with this in their name")
    parser.add_argument("--python", default="", help="another Python, for the chapters without torch")
    parser.add_argument("--newest", action="store_true", help="the newest versions of all dependencies")
    runs, outcomes = plan(parser.parse_args()), {}
    for name, run in tqdm(runs.items(), desc="portability"):
        outcomes[name] = replay(*run)
        for failure in outcomes[name].failed:
            tqdm.write(f"{name}: {failure}", file=sys.stderr)
    print(table(outcomes))
    sys.exit(any(outcome.failed or not outcome.cells for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
