"""Chapter 18's long runs: how well models adapt, and how many real steps each road to a good swing-up takes.

The tasks are `worlds.torch_pendulums.wired_pendulums`. A *real step* is one step of a training pendulum;
steps imagined in a model do not count, nor those in which a frozen agent is judged, on any side. A curve is
(real steps [C], returns [C, R]): R independent runs, judged after so many real steps by the mean return of
one episode of 200 steps on each of JUDGES held-out pendulums, the same for all.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from course_lib.agents import deep_q, dynamics
from course_lib.agents.networks import Params, gru_init, mlp, mlp_init
from course_lib.agents.training import generator_from, train
from course_lib.meta import adaptive_dynamics as ad
from course_lib.repro import running
from course_lib.worlds.torch_pendulums import UNITS, Histories, WiredPendulums, wired_pendulums

PLANNER = {"horizon": 20, "plans": 50, "elites": 8, "rounds": 2, "spread": 1.5, "limit": 2.0}
JUDGES, JUDGING_SEED, STRETCH = 20, 6, 50
TORQUES = (-2.0, -1.0, 0.0, 1.0, 2.0)
LOOK_BACKS, AT = (0, 1, 2, 4, 8, 16, 32), 40  # models adapt to the k steps before step AT
SINCE = (1, 2, 4, 8, 16, 32)  # how many steps before AT the wires may be swapped
BEST = {  # of those in benchmarks/model_based.py
    "model": {"rate": 1e-2},
    "values": {"updates": 8},
}
Curve = tuple[np.ndarray, np.ndarray]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def judges(runs: int, split: str) -> WiredPendulums:
    """JUDGES pendulums, each once for every run."""
    return wired_pendulums(JUDGES, split, JUDGING_SEED)[torch.arange(JUDGES).repeat_interleave(runs)]


def judged(adapt, meta: Params, scale, k: int, split: str, **planner) -> Tensor:
    """The mean return of each run on the judges' pendulums, [R]; adapt as in `adaptive_dynamics.control`."""
    tasks = judges(len(scale.input_width), split)
    how = PLANNER | planner
    _, rewards = ad.control(tasks, adapt, meta, scale, k, 200, seeded(JUDGING_SEED), **how)
    return rewards.sum(dim=-1).mean(dim=0)


# What the chapter plays with


def collect(tasks: WiredPendulums, steps: int, seed: int) -> Tensor:
    """Steps under random torques, [M, steps, 5]: cos, sin and speed, torque, change of speed."""
    life = ad.random_steps(tasks, 1, steps, seeded(seed))
    return torch.cat([life.s, life.a, life.target[..., 1:2]], dim=-1)[:, 0]


def first(way: str, seed: int) -> Params:
    """Untrained parameters for the chapter's own networks, of 4 numbers in and 1 out: `theta.…`, and for

    "gradient"   `alpha.…` and `kappa`, all as logarithms
    "memory"     `unit.…` and `shift`
    """
    generator = seeded(seed)
    theta = mlp_init([4, 32, 32, 1], generator)
    meta = {f"theta.{name}": p for name, p in theta.items()}
    if way == "gradient":
        meta |= {f"alpha.{name}": torch.full_like(p, -3.0) for name, p in theta.items()}
        meta["kappa"] = torch.tensor(1.0)
    if way == "memory":
        meta |= {f"unit.{name}": p for name, p in gru_init(5, 32, generator).items()}
        meta["shift"] = torch.randn(32, 32, generator=generator) / 32**0.5
    return meta


def model_of(params: Params) -> dynamics.Model:
    """For the planner: the model of those networks [M, ...], which predict the change of speed in UNITS.

    The angle follows from the speed, and the reward's formula is given.
    """

    def model(state: Tensor, torque: Tensor) -> tuple[Tensor, Tensor]:
        angle, speed = state[..., :1], state[..., 1:]
        seen = torch.cat([angle.cos(), angle.sin(), speed, torque], dim=-1)
        after = speed + UNITS[4] * mlp(params, seen / UNITS[:4])
        upright = torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi
        reward = -(upright**2 + 0.1 * speed**2 + 0.001 * torque**2)[..., 0]
        return torch.cat([angle + 0.05 * after, after], dim=-1), reward

    return model


# How well models adapt


def held_out(split: str, runs: int = 1, count: int = 100, swapped: float = 0.5, since: int = 0) -> ad.Steps:
    """What `count` pendulums of a split do under random torques for 60 steps, the same for every run.

    `since` steps before step AT all wires are swapped.
    """
    before = wired_pendulums(count, split, JUDGING_SEED, swapped)
    after = replace(before, wires=-before.wires)
    tasks = (lambda t: before if t < AT - since else after) if since else before
    once = ad.random_steps(tasks, 1, 60, seeded(JUDGING_SEED))
    return ad.Steps(*(x.expand(count, runs, *x.shape[2:]) for x in once))


def adaptation(
    seed: int, swapped: float = 0.5, runs: int = 10, lives: int = 60, updates: int = 1500
) -> dict[str, np.ndarray]:
    """Errors of the change of speed [K, R] on test pendulums, after adapting to each k of LOOK_BACKS.

    Every run learns from `lives` training pendulums of its own, 60 steps each. Fine-tuning is that of
    FINE_TUNINGS which errs least on validation pendulums, for every k anew; so is chapter 17's correction.
    "…, changed" are errors [SINCE, K, R] after the wires have been swapped, "…, one ahead" those on the next
    step alone; all others are on the next 16.
    """
    tasks = wired_pendulums(lives * runs, "train", seed, swapped)
    data = ad.random_steps(tasks, runs, 60, seeded(seed))
    validation, test = held_out("validation", runs, 40, swapped), held_out("test", runs, 100, swapped)
    found = {}
    ways = (("global", "global", 16), ("gradient", "gradient", 16),
            ("memory", "memory", 16), ("memory, next step", "memory", 1))  # fmt: skip
    for name, way, ahead in tqdm(ways, f"swapped {swapped}", leave=False):
        meta, scale = ad.fit(way, data, updates=updates, ahead=ahead, seed=seed, show=True)
        ask = partial(_errors, ad.ADAPT[way], meta, scale)
        found[name] = np.array([ask(test, k) for k in LOOK_BACKS])
        if way == "memory":
            found[f"{name}, one ahead"] = np.array([ask(test, k, ahead=1) for k in LOOK_BACKS])
        if swapped and ahead > 1:
            changed = [held_out("test", runs, 100, swapped, since) for since in SINCE]
            found[f"{name}, changed"] = np.array([[ask(x, k) for k in LOOK_BACKS] for x in changed])
        if name == "global":
            for method, choices in (("fine-tuned", FINE_TUNINGS), ("corrected", CORRECTIONS)):
                found[method] = _tuned(choices, meta, scale, validation, test)
    return found


FINE_TUNINGS = [
    ad.FineTuning(rate, steps, rule, last_only)
    for rule, sizes in (("descent", (0.003, 0.01, 0.03, 0.1)), ("adam", (0.001, 0.003, 0.01, 0.03)))
    for rate in sizes
    for steps in (1, 3, 10, 30)
    for last_only in (False, True)
]


def two_families(seed: int) -> dict[str, np.ndarray]:
    """`adaptation` where half of the motors are swapped, and where none is."""
    shares = {"swapped": 0.5, "ordinary": 0.0}
    each = {family: adaptation(seed, share) for family, share in shares.items()}
    return {f"{family}: {name}": x for family, found in each.items() for name, x in found.items()}


class Corrected:
    """Chapter 17's correction of a global model: ridge regression of its last k errors, for `_tuned`."""

    def __init__(self, reg: float):
        self.reg = reg

    def errors(self, meta: Params, scale, data: ad.Steps, k: int) -> np.ndarray:
        recent, asked = data.part(AT - k, AT), data.part(AT, AT + 16)
        params = ad.globally(meta, scale, data)
        with torch.no_grad():
            left = [x.target - dynamics.predict(params, scale, x.s, x.a)[0] for x in (recent, asked)]
        phi, ask = (dynamics.features(scale, x.s, x.a) for x in (recent, asked))
        gram = phi.mT @ phi + self.reg * torch.eye(phi.shape[-1])
        miss = left[1] - ask @ torch.linalg.solve(gram, phi.mT @ left[0])
        return (miss[..., 1] ** 2).mean(dim=(0, 2)).numpy()


CORRECTIONS = [Corrected(reg) for reg in (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)]


def _errors(adapt, meta: Params, scale, data: ad.Steps, k: int, ahead: int = 16) -> np.ndarray:
    if isinstance(adapt, Corrected):
        return adapt.errors(meta, scale, data, k)
    return ad.errors(adapt, meta, scale, data, k, AT, ahead)[..., 1].mean(dim=0).numpy()


def _tuned(choices, meta: Params, scale, validation: ad.Steps, test: ad.Steps) -> np.ndarray:
    """Test errors [K, R] of the choice that is best on validation pendulums, for every k anew."""
    rows = [_errors(ad.globally, meta, scale, test, 0)]
    for k in LOOK_BACKS[1:]:
        worth = [_errors(choice, meta, scale, validation, k).mean() for choice in choices]
        rows.append(_errors(choices[int(np.argmin(worth))], meta, scale, test, k))
    return np.array(rows)


# Learn a model, plan with it


def model_based(
    seed: int,
    way: str = "gradient",
    *,
    runs: int = 10,
    k: int = 16,
    rounds: int = 5,
    lives: int = 20,
    updates: int = 2000,
    rate: float = 5e-3,
    split: str = "test",
    path: str | Path | None = None,
    show: bool = False,
    **sizes,
) -> Curve:
    """Random torques first, for STRETCH steps in each of `lives` pendulums. Then, round after round: learn
    the model; judge it; plan with it in lives / 2 new pendulums, for two STRETCHes; keep what happened.
    """

    def tasks(round_: int, count: int) -> WiredPendulums:
        return wired_pendulums(count * runs, "train", 1000 * seed + round_)

    def begin() -> dict:
        first = ad.random_steps(tasks(0, lives), runs, STRETCH, seeded(seed))
        state = {"data": list(first), "meta": {}, "real": [], "returns": []}
        return state | {"generator": seeded(seed + 1).get_state()}

    def update(state: dict) -> dict:
        data, done = ad.Steps(*state["data"]), len(state["real"])
        share = 0.5 if done else 1.0  # later rounds go on from the last: half the updates, at half the rate
        how = {"updates": round(share * updates), "rate": share * rate, "start": state["meta"] or None}
        meta, scale = ad.fit(way, data, seed=1000 * seed + done, show=show, **how, **sizes)
        adapt, generator = ad.ADAPT[way], generator_from(state["generator"])
        returns = judged(adapt, meta, scale, k, split)
        more = ad.control(
            tasks(done + 1, lives // 2), adapt, meta, scale, k, 2 * STRETCH, generator, **PLANNER
        )
        halves = [more[0].part(0, STRETCH), more[0].part(STRETCH, 2 * STRETCH)]
        joined = [torch.cat(x, dim=0) for x in zip(data, *halves, strict=True)]
        real, seen = [*state["real"], len(data.s) * STRETCH], [*state["returns"], returns]
        new = {"data": joined, "meta": meta, "real": real, "returns": seen}
        return new | {"generator": generator.get_state()}

    about = f"{way} {seed} {runs} {k} {rounds} {lives} {updates} {rate} {split} {sorted(sizes.items())}"
    state = train(begin, update, rounds, path=path, every=1, about=about, show=show)
    return np.array(state["real"]), torch.stack(state["returns"]).numpy()


# Learn without a model, from the last k steps


def play(choose: Callable[[Tensor], Tensor], world: Histories, agents: int, split: str) -> Tensor:
    """The mean return of each agent on the judges' pendulums, [agents]."""
    tasks = wired_pendulums(JUDGES, split, JUDGING_SEED, world.swapped, world.gust)
    start, generator = tasks.start(1, seeded(JUDGING_SEED))[:, 0], seeded(JUDGING_SEED)
    state = world.start((agents, JUDGES), generator, which=torch.zeros(JUDGES, dtype=torch.long))
    body = torch.cat([start, torch.stack([tasks.lift, tasks.push], dim=-1)], dim=-1)
    state = torch.cat([body.expand(agents, JUDGES, 4), state[..., 4:]], dim=-1)
    total = torch.zeros(agents, JUDGES)
    for _ in range(world.horizon):
        state, reward, _ = world.step(state, choose(world.observe(state)), generator)
        total = total + reward
    return total.mean(dim=1)


def by_values(
    seed: int, *, runs: int = 10, steps: int = 40_000, looks: int = 20, k: int = 8, torques=TORQUES,
    split: str = "test", path: str | Path | None = None, show: bool = False, **settings,
) -> Curve:  # fmt: skip
    """Double DQN on the last k steps (`agents.deep_q`): off-policy, every step is replayed many times."""
    world = Histories(k=k, torques=torques)
    how = {"envs": 4, "updates": 4, "gamma": 0.97, "unit": 50.0, "period": 200, "explore": 0.2} | settings
    run = deep_q.DQN(world, steps, agents=runs, seed=seed, replay=steps, **how)
    updates = steps // run.envs
    at = [round(updates * (n + 1) / looks) for n in range(looks)]

    def begin() -> dict:
        return {"run": run.begin(), "done": 0, "returns": []}

    def update(state: dict) -> dict:
        new = {"run": run.update(state["run"]), "done": state["done"] + 1, "returns": state["returns"]}
        if new["done"] in at:
            choose = deep_q.chooser(run.params(new["run"]["theta"]))
            new["returns"] = [*new["returns"], play(choose, world, runs, split)]
        return new

    about = f"{run.envs} {updates} {looks}"
    state = train(begin, update, updates, path=path, every=max(updates // 4, 1), about=about, show=show)
    return run.envs * np.array(at), torch.stack(state["returns"]).numpy()


def bounds(split: str = "test") -> np.ndarray:
    """The mean return on the judges' pendulums of random torques, and of planning with their true models."""
    one = dynamics.Normaliser(*[torch.ones(1, 1, 1)] * 4)
    true = judged(None, {}, one, 0, split)
    generator = seeded(JUDGING_SEED)
    at_random = play(
        lambda o: 4 * torch.rand(*o.shape[:-1], 1, generator=generator) - 2, Histories(), 1, split
    )
    return torch.cat([at_random, true]).numpy()


def race(seed: int) -> dict[str, np.ndarray]:
    """Ten runs of each road, with its best settings: `model: steps` [C], `model: returns` [C, 10] …"""
    curves = {
        "model": model_based(seed, **BEST["model"], path=running(f"18_model_{seed}"), show=True),
        "DQN": by_values(seed, **BEST["values"], path=running(f"18_values_{seed}"), show=True),
    }
    names = ("steps", "returns")
    found = {f"{road}: {n}": x for road, c in curves.items() for n, x in zip(names, c, strict=True)}
    return found | {"bounds": bounds()}


def steps_to(curve: Curve, goal: float) -> np.ndarray:
    """After how many real steps each run was first judged at `goal` or better, [R]; infinity if never."""
    real, returns = curve
    there = returns >= goal
    return np.where(there.any(axis=0), real[there.argmax(axis=0)], np.inf)


def times_as_many(few: np.ndarray, many: np.ndarray, draws: int = 2000) -> tuple[float, float, float]:
    """The ratio of the medians of `many` and `few` real steps, and a 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    again = [np.median(rng.choice(x, (draws, len(x))), axis=1) for x in (many, few)]
    return np.median(many) / np.median(few), *np.quantile(again[0] / again[1], (0.025, 0.975))
