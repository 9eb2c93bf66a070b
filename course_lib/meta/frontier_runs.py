"""The long runs of chapter 21: ten networks of each kind, for `repro.load_or_run`.

Rules of counts (Thompson sampling, Bayes-optimal play) come from outside, as choices of `oracles.bandits`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from tqdm.auto import tqdm

from course_lib.agents.networks import Params
from course_lib.agents.training import train
from course_lib.meta import bandit_lives, frontiers, in_context, recurrent
from course_lib.meta.bandit_lives import TapedBandits
from course_lib.meta.in_context import Lives, bandit_lives_of, paid
from course_lib.worlds.tasks import BanditTasks, bandit_tasks, grid_goal_tasks

SIZES = (5, 2, 20, 32, 1)  # of the transformers for two arms and 20 pulls
CREDITS = {
    "RL²": lambda tasks, run: run.rewards,
    "E-RL²": frontiers.later_only,
    "informed": frontiers.informed,
}
LOOKS = (0, 10, 20, 30, 40, 50, 60, 80, 100, 120, 150, 180, 210, 240, 270, 299)
CASES = (  # steps to the note, credit, weight of the entropy bonus, updates
    *((1, name, weight, 300) for name in ("RL²", "E-RL²") for weight in (0.05, 0.15, 0.3)),
    (1, "informed", 0.15, 300),
    (1, "RL²", 0.3, 900),
    *((2, name, 0.15, 300) for name in CREDITS),
)
MEANS, SUMS = (0.1, 0.3, 0.5, 0.7, 0.9), (0.5, 2.0, 8.0)  # of Beta(a, b): a/(a + b), and a + b


def recordings(source: Callable, N: int, seed: int, noise: float = 0.2) -> dict[str, Lives]:
    """Three kinds of lives in the same bandits, two arms and 20 pulls.

    The source's; those of experts who pull the better arm, but any arm with probability `noise`; and arms
    pulled at random, with the better arm as the label of every step.
    """
    tasks = bandit_lives.taped(bandit_tasks(N, 2, 20, seed=seed), seed)
    learner = torch.as_tensor(bandit_lives.play_by_counts(source, tasks, seed)).T
    best = tasks.p.argmax(1, keepdim=True).expand(-1, 20)
    u, any_arm = torch.rand(2, N, 20, generator=torch.Generator().manual_seed(seed))
    any_arm = (any_arm < 0.5).long()
    expert = torch.where(u < noise, any_arm, best)
    lives = {"learner": (learner, learner), "expert": (expert, expert), "labelled": (any_arm, best)}
    return {kind: bandit_lives_of(arms, paid(tasks, arms), labels) for kind, (arms, labels) in lives.items()}


def likeliest(choice: Callable) -> Callable:
    """The choice that always takes the likeliest arm of another; ties equally often."""

    def picks(counts, sums):
        p = choice(counts, sums)
        best = p > p.max(axis=-1, keepdims=True) - 1e-9
        return best / best.sum(axis=-1, keepdims=True)

    return picks


def behind(
    networks: Params, tests: TapedBandits, top: np.ndarray, best: bool, part: int = 2000
) -> np.ndarray:
    """How far transformers stay behind the scores top [M] on the same tapes: means and standard errors."""
    rng, gaps = torch.Generator().manual_seed(0), []
    for k in range(0, len(tests), part):
        arms, _ = in_context.act(networks, tests[k : k + part], rng, best=best)
        earned = bandit_lives.pulled_means(tests[k : k + part], arms).sum(0)
        gaps.append(top[k : k + part, None] - earned.numpy())
    gaps = np.concatenate(gaps)
    return np.array([gaps.mean(0), gaps.std(0) / np.sqrt(len(gaps))])


def readers(source: Callable, top: Callable, seed: int, updates: int = 600, lives: int = 100_000) -> dict:
    """Ten transformers for each kind of `recordings`: `behind` the choice `top`, drawn and likeliest, and the
    weights of those that read learners."""
    tests = bandit_lives.taped(bandit_tasks(6_000, 2, 20, "test", seed), seed)
    scores, stored = bandit_lives.score_by_counts(top, tests), {}
    for kind, recorded in recordings(source, lives, seed).items():
        recipe, name = in_context.Recipe(updates, 64), f"21_{kind}_{updates}_{seed}"
        networks = in_context.imitate(recorded, recipe, range(10), name)
        stored |= {f"{kind}, {how}": behind(networks, tests, scores, how == "likeliest") for how in HOW}
        if kind == "learner":
            stored["weights"] = in_context.packed(networks)
    return stored


HOW = ("drawn", "likeliest")


def walkers(seed: int, updates: int = 2500) -> dict:
    """Ten transformers that read posterior sampling in hidden-goal grids: what they earn, [episode, 10]."""
    lives = in_context.guessing_lives(40_000, 2, torch.Generator().manual_seed(seed))
    recipe = in_context.Recipe(updates, 48, layers=2, rate=0.005)
    networks = in_context.imitate(lives, recipe, range(10), f"21_walkers_{updates}_{seed}")
    stored = {}
    for how, each in zip(HOW, (100, 1), strict=True):
        tasks, rng = grid_goal_tasks(None, split=None), torch.Generator().manual_seed(seed)
        _, rewards = in_context.act(networks, tasks[list(range(21)) * each], rng, 2, how == "likeliest")
        stored[how] = rewards.reshape(2, 15, -1, 10).sum(1).mean(1).numpy()
    return stored


def explorers(seed: int, cases: Sequence[tuple] = CASES) -> dict:
    """For each case the `frontiers.habits` of ten RL² networks, [look, 10, 2], at LOOKS and at the end."""
    stored = {}
    for steps, credit, weight, updates in cases:
        looks = [k for k in LOOKS if k < updates - 1] + [updates - 1]
        tasks, seeds = frontiers.note_tasks(6, steps, 0.3 / steps), range(seed, seed + 10)
        learner = frontiers.note_learner(tasks, CREDITS[credit], updates, seeds, entropy=weight, looks=looks)
        case = f"{steps} {credit} {weight} {updates}"
        state = train(*learner, updates, path=recurrent.running(f"21_{case}_{seed}"), about=case)
        stored[case] = torch.stack(state["seen"]).numpy()
    return stored


def rules(seed: int, updates: int = 400) -> dict:
    """The parameters of ten learned objectives."""
    name = f"21_rules_{updates}_{seed}"
    learner = frontiers.rule_learner(updates, range(seed, seed + 10))
    state = train(*learner, updates, path=recurrent.running(name), about=name)
    return {key: p.detach().numpy() for key, p in state["params"].items()}


def shifted(
    pairs: Sequence[Params], readers: Params, rule: frontiers.Weight, top: Callable, seed: int
) -> dict:
    """How far networks stay `behind` the choice `top` where arms are from Beta(a, b): [MEANS, SUMS, who, 10].

    Who: RL² networks `pairs`, transformers drawn and likeliest, and ten learned rules.
    """
    table = np.zeros((len(MEANS), len(SUMS), 4, 10))
    for i, j in tqdm(list(np.ndindex(table.shape[:2])), "priors", leave=False):
        rng, a, b = np.random.default_rng([seed, i, j]), MEANS[i] * SUMS[j], (1 - MEANS[i]) * SUMS[j]
        p = torch.tensor(rng.beta(a, b, size=(3_000, 2))).float()
        tests = bandit_lives.taped(BanditTasks(p, 20), seed)
        scores = bandit_lives.score_by_counts(top, tests)
        table[i, j, 0] = [(scores - bandit_lives.score(params, tests)).mean() for params in pairs]
        table[i, j, 1:3] = [behind(readers, tests, scores, best)[0] for best in (False, True)]
        with torch.no_grad():
            _, means = frontiers.learn_arms(rule, p, 20, torch.Generator().manual_seed(seed), 10)
        table[i, j, 3] = scores.mean() - means.sum(0).mean(1).numpy()
    return {"behind": table}
