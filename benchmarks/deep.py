"""Deep learners beside Stable-Baselines3 on CartPole-v1, with equal environment steps: return and speed.

    python benchmarks/deep.py              DQN and PPO, ten seeds each, half an hour: a Markdown table
    python benchmarks/deep.py dqn --seeds 5
    python benchmarks/deep.py --quick      seconds: few steps, no peers

Each seed of ours trains alone, as theirs does, on one thread, and the two take turns; a second is a
second of processor time. The network after the last step plays 100 episodes on Gymnasium's CartPole-v1
without exploring. Returns are means over the seeds with 95 % intervals (Student's t). The peer runs in an
environment of its own, benchmarks/.peers/deep, made on first use, with the settings that rl-baselines3-zoo
tuned for this task (deep_peers.py); ours are those of `CARTPOLE` in `agents.deep_q` and the defaults of
`agents.policy_gradient`.
The last column trains all seeds of ours side by side. Exits with 1 where a goal is missed.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))  # before torch is loaded

import argparse
import json
import subprocess
import sys
import time
import venv
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))  # the course need not be installed

import numpy as np
import torch
from scipy import stats
from tqdm import tqdm

from course_lib.agents.deep_q import CARTPOLE, dqn, returns_on
from course_lib.worlds.torch_control import CartPole

HERE = Path(__file__).parent
STEPS, FASTER = 100_000, 2.0  # environment steps of each seed; how many times theirs our speed should be
torch.set_num_threads(1)


def train(method: str, steps: int, seed: int, agents: int = 1):
    """Ours: the greedy policies of so many agents after `steps` environment steps each."""
    if method == "dqn":
        return dqn(CartPole(), steps, seed=seed, agents=agents, show=False, **CARTPOLE)["choose"]
    from course_lib.agents.policy_gradient import ppo

    return ppo(CartPole(), steps, seed=seed, agents=agents, show=False)["choose"]


def ours(method: str, steps: int, seed: int, agents: int = 1) -> dict:
    """As the peers answer: seconds of processor time, and the returns of 100 episodes an agent."""
    began = time.process_time()
    choose = train(method, steps, seed, agents)
    seconds = time.process_time() - began
    return {"seconds": seconds, "returns": returns_on(choose, "CartPole-v1", agents, seed=seed).numpy()}


def peers_python() -> Path:
    """The Python of the peers' own environment, which is made if it is not there."""
    home = HERE / ".peers" / "deep"
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists() or subprocess.run([python, "-c", "import stable_baselines3"]).returncode:
        venv.create(home, with_pip=True, clear=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for package in (HERE / "deep_peers.txt").read_text().split():  # torch first
            subprocess.run([*pip, package], check=True)
        (HERE / ".peers" / ".gitignore").write_text("*\n")
    return python


class Peers:
    """Stable-Baselines3 in its own process: called like `ours`."""

    def __init__(self):
        command = [peers_python(), HERE / "deep_peers.py"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            sys.exit("the peers' process did not start; its own message is above")

    def __call__(self, method: str, steps: int, seed: int) -> dict:
        self.process.stdin.write(json.dumps({"method": method, "steps": steps, "seed": seed}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def race(method: str, steps: int, seeds: int, sides: dict) -> dict[str, list[dict]]:
    """What each side answers for each seed, by turns."""
    answers = {name: [] for name in sides}
    for seed in tqdm(range(seeds), desc=method):
        for name, side in sides.items():
            answers[name].append(side(method, steps, seed))
    return answers


def interval(means: np.ndarray) -> tuple[float, float]:
    """Mean and half a 95 % interval over the seeds."""
    if len(means) < 2:
        return float(means.mean()), float("nan")
    half = stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    return float(means.mean()), float(half)


def report(method: str, steps: int, answers: dict, together: dict, seeds: int) -> tuple[list[str], list[str]]:
    """Rows of the table, and the goals that are missed."""
    rows, found = [], {}
    for name, each in answers.items():
        means = np.array([np.mean(answer["returns"]) for answer in each])
        speed = steps / median(answer["seconds"] for answer in each)
        found[name] = *interval(means), speed
        solved = f"{(means >= 475).sum()} of {seeds}"
        many = f"{seeds * steps / together['seconds']:,.0f}" if name == "ours" else ""
        mean, half, _ = found[name]
        rows.append(f"| {method} | {name} | {mean:.0f} ± {half:.0f} | {solved} | {speed:,.0f} | {many} |")
    if len(found) < 2:
        return rows, []
    (mean, half, speed), (peer, peer_half, peer_speed) = found.values()
    rows.append(f"| {method} | ours / theirs | {mean - peer:+.0f} | | **{speed / peer_speed:.2f}×** | |")
    missed = []
    if mean < peer - np.hypot(half, peer_half):
        missed.append(f"{method}: our return {mean:.0f} ± {half:.0f}, theirs {peer:.0f} ± {peer_half:.0f}")
    if speed < FASTER * peer_speed:
        missed.append(f"{method}: our speed is {speed / peer_speed:.2f} times theirs, the goal is {FASTER}")
    return rows, missed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", default=["dqn", "ppo"], help="dqn, ppo")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--quick", action="store_true", help="few steps, one seed, no peers")
    options = parser.parse_args()
    steps, seeds = (3_200, 1) if options.quick else (options.steps, options.seeds)
    sides = {"ours": ours} if options.quick else {"ours": ours, "Stable-Baselines3": Peers()}
    print(f"CartPole-v1, {steps:,} environment steps a seed; load {os.getloadavg()[0]:.1f}")
    print("| method | | return | seeds at 475 or more | steps/s | steps/s, all seeds at once |")
    print("|---|---|---:|---:|---:|---:|", flush=True)
    misses = []
    for method in options.methods:
        answers = race(method, steps, seeds, sides)
        rows, missed = report(method, steps, answers, ours(method, steps, 0, seeds), seeds)
        print("\n".join(rows), flush=True)
        misses += missed
    if misses:
        sys.exit("\n".join(misses))


if __name__ == "__main__":
    main()
