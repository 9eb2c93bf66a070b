"""The study of chapter 19: ten draws of three families, and everybody's returns by target episodes.

Every draw has tasks to train on, validation tasks that choose all that is chosen, and test tasks. In the
source phase joint training and MAML take exact gradients (see `meta.relatives`), RL² plays.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import product

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from course_lib.agents import networks
from course_lib.agents.networks import Params
from course_lib.agents.training import generator_from, train
from course_lib.meta import maml, recurrent, relatives, tuning
from course_lib.meta.recurrent import Recipe
from course_lib.worlds.tasks import SHARES, Tasks

FAMILIES = {"siblings": 0.2, "cousins": 0.5, "goals": None}  # the share of a task's own, see `relatives`
SIZES = (32, 32)  # hidden layers
SOURCES = {"goals": 13}  # training tasks a draw; otherwise 100
BATCH = 20  # of them in an update, at most


def family(name: str, draws: int, M: int, split: str, seed: int = 0) -> Tasks:
    """draws × M tasks of one split: chapter 20's families."""
    if name not in FAMILIES or split not in SHARES:
        raise ValueError(f"{name!r}, {split!r}: choose from {list(FAMILIES)} and from {list(SHARES)}.")
    if name == "goals":
        return relatives.goals(draws, M, split, seed)
    return relatives.relatives(draws, M, FAMILIES[name], split, seed)


def sources(name: str, draws: int, seed: int = 0) -> Tasks:
    return family(name, draws, SOURCES.get(name, 100), "train", seed)


def new_policies(tasks: Tasks, draws: int, generator: torch.Generator) -> Params:
    """Networks that nobody has trained, [draws, ...]; first weights large, since inputs are one-hot."""
    nets = [networks.mlp_init([tasks.obs_size, *SIZES, tasks.n_actions], generator) for _ in range(draws)]
    stacked = {name: torch.stack([net[name] for net in nets]) for name in nets[0]}
    return stacked | {"W0": stacked["W0"] * math.sqrt(tasks.obs_size)}


def spread(theta: Params, M: int) -> Params:
    """The policies of all draws, [draws · M, ...]: each once for each of its M tasks."""
    return {name: p.repeat_interleave(M, 0) for name, p in theta.items()}


# The source phase


def exact_loss(P: Tensor, R: Tensor, horizon: int, entropy: float = 0.0) -> maml.Loss:
    """Minus the exact return (plus `entropy` times the policy's mean entropy) of networks [M, draws, ...]."""
    states = torch.eye(R.shape[-2])

    def loss(params: Params) -> Tensor:
        logits = networks.mlp(params, states)
        log_pi = torch.log_softmax(logits, -1)
        unsure = -(log_pi.exp() * log_pi).sum(-1).mean(-1)
        return -relatives.returns(logits, P, R, horizon) - entropy * unsure

    return loss


def pretrain(
    pool: Tasks, draws: int, method: str, updates: int = 200, entropy: float = 0.0, path=None, **recipe
) -> Params:
    """One start a draw, [draws, ...]: joint training, or MAML (`recipe`: alpha, steps), with exact gradients.

    `entropy` keeps joint training from becoming too sure to be tuned.
    """
    P, R = (x.unflatten(0, (draws, -1)).transpose(0, 1) for x in relatives.tables(pool))

    def draw(generator: torch.Generator):
        few = torch.randperm(len(P), generator=generator)[:BATCH]
        return (exact_loss(P[few], R[few], pool.horizon, entropy),) * 2

    new = partial(new_policies, pool, draws)
    learner = maml.learner(new, draw, min(BATCH, len(P)), method, rate=0.01, **recipe)
    about = f"{method} {entropy} {recipe} {updates}"
    return maml.learned(train(*learner, updates, path=path, about=about, show=False))[0]


# On a target


def known(name: str, seed: int = 0) -> float:
    """What somebody earns on the test tasks, on average, who knows each of them: by dynamic programming."""
    tasks = family(name, DRAWS, TARGETS, "test", seed)
    P, R = relatives.tables(tasks)
    V = torch.zeros(R.shape[:2])
    for _ in range(tasks.horizon):
        V = (R + (P @ V[:, None, :, None])[..., 0]).amax(-1)
    return float(V[:, 0].mean())


def tuned(theta: Params, loss: maml.Loss, setting: str, alpha: float, looks: Sequence[int]) -> Iterator:
    """Yields the policies after `looks` steps on a loss, from theta [M, ...]."""
    names, begin = tuning.movable(theta, setting), networks.require_grad(theta)
    for k, phi in enumerate(maml.adaptations(begin, loss, alpha, max(looks), False, names)):
        if k in looks:
            yield {name: p.detach() for name, p in phi.items()}


def learning_curve(theta, tasks, setting, alpha, looks, episodes: int = 4, seed: int = 0) -> Tensor:
    """The exact returns after `looks` steps of REINFORCE on so many fresh episodes each, [looks, M]."""
    loss = tuning.fresh_episodes(tasks, episodes, torch.Generator().manual_seed(seed))
    policies = tuned(theta, loss, setting, alpha, looks)
    return torch.stack([tuning.exact_return(phi, tasks) for phi in policies])


def again_and_again(theta, tasks, setting, alpha, looks, episodes: int, seed: int = 0) -> Tensor:
    """All steps on the *same* episodes of theta [M, ...], [3, looks, M].

    Row 0 is what these episodes promise, row 1 what as many held-out ones promise, row 2 the exact return.
    """
    generator = torch.Generator().manual_seed(seed)
    mine, held_out = (tuning.collect(theta, tasks, episodes, generator) for _ in range(2))
    loss, found = lambda params: -tuning.promised(params, tasks, mine), []
    for phi in tuned(theta, loss, setting, alpha, looks):
        promises = [tuning.promised(phi, tasks, data) for data in (mine, held_out)]
        found.append(torch.stack([*promises, tuning.exact_return(phi, tasks)]))
    return torch.stack(found, 1)


# RL², several networks side by side


def live(params: Params, tasks: Tasks, episodes: int, each: int, generator: torch.Generator):
    """`recurrent.play` for one network a draw, params [draws, ...], each with its share of the tasks.

    Episodes last to the horizon. A network sees all trials of its tasks as one batch, [draws, M · each, ...].
    """
    A, draws = tasks.n_actions, len(params["Wh"])
    rows = {name: p[:, None] if p.ndim == 2 else p for name, p in params.items()}
    state, steps = tasks.start(each, generator), []
    nothing = torch.zeros(*state.shape, 2 * A + 1)
    x, memory = torch.cat([tasks.observe(state), nothing], -1), 0.0
    for t in range(1, episodes * tasks.horizon + 1):
        x = x.reshape(draws, -1, x.shape[-1])
        memory = networks.gru_cell(rows, x, memory + torch.zeros(*x.shape[:2], rows["Wh"].shape[1]))
        log_pi = torch.log_softmax(memory @ rows["Wp"] + rows["bp"], -1).reshape(*state.shape, A)
        value = (memory @ rows["Wv"] + rows["bv"]).reshape(state.shape)
        action = recurrent.draw(log_pi, generator)
        after, reward, _ = tasks.step(state, action, generator)
        end = torch.full(state.shape, t % tasks.horizon == 0)
        log_prob = log_pi.gather(-1, action[..., None])[..., 0]
        steps.append((action, reward, end, log_prob, -(log_pi.exp() * log_pi).sum(-1), value, state))
        state = tasks.start(each, generator) if end[0, 0] else after
        x = recurrent.inputs(tasks.observe(state), action, reward, end, A)
    return recurrent.Trials(*map(torch.stack, zip(*steps, strict=True)))


def quiet(tasks: Tasks, run: recurrent.Trials) -> Tensor:
    """Rewards to learn from, or to score by, without their luck: the mean reward of each state and action."""
    R = relatives.tables(tasks)[1]
    return R[torch.arange(len(tasks))[:, None], run.states, run.actions]


def rl2_learner(pool: Tasks, draws: int, recipe: Recipe, seed: int = 0):
    """(begin, update) for `agents.training.train`: one RL² network a draw, on the draw's training tasks."""
    N = len(pool) // draws
    M = min(BATCH, N)

    def begin() -> dict:
        generator = torch.Generator().manual_seed(seed)
        sizes = pool.obs_size, pool.n_actions, recipe.hidden
        first = [recurrent.policy_init(*sizes, generator) for _ in range(draws)]
        params = {name: torch.stack([net[name] for net in first]) for name in first[0]}
        memory = networks.adam_init(params)
        return {"params": params, "adam": memory, "rng": generator.get_state(), "count": 0}

    def update(state: dict) -> dict:
        generator, left = generator_from(state["rng"]), 1 - state["count"] / recipe.updates
        few = torch.rand(draws, N, generator=generator).argsort(1)[:, :M]
        tasks = pool[(few + N * torch.arange(draws)[:, None]).flatten()]
        params = networks.require_grad(state["params"])
        run = live(params, tasks, recipe.episodes, recipe.each, generator)
        loss = _loss(run, quiet(tasks, run), draws, recipe, recipe.entropy * left)
        grads = networks.clip_each(networks.gradients(loss, params), 1.0)
        params, memory = networks.adam(params, grads, state["adam"], recipe.rate * left)
        plain = {name: p.detach() for name, p in params.items()}
        return {"params": plain, "adam": memory, "rng": generator.get_state(), "count": state["count"] + 1}

    return begin, update


def rl2(pool: Tasks, draws: int, recipe: Recipe, seed: int = 0, path=None) -> Params:
    """The networks [draws, ...] at the end of a whole run of `rl2_learner`."""
    learner = rl2_learner(pool, draws, recipe, seed)
    return train(*learner, recipe.updates, path=path, about=f"RL² {recipe}")["params"]


def _loss(run: recurrent.Trials, rewards: Tensor, draws: int, recipe: Recipe, entropy: float) -> Tensor:
    """The sum of the networks' losses; each is computed from its own trials alone."""
    tensors = {name: x.chunk(draws, 1) for name, x in vars(run).items() if x is not None}
    losses = []
    for d, mine in enumerate(rewards.chunk(draws, 1)):
        part = recurrent.Trials(**{name: x[d] for name, x in tensors.items()})
        losses.append(recurrent.actor_critic_loss(part, mine, recipe.gamma, entropy, recipe.lam))
    return sum(losses)


def by_episode(params: Params, tasks: Tasks, episodes: int, each: int = 20, seed: int = 0) -> Tensor:
    """What RL² earns on average in its first, second, … episode in every task, [episodes, M]."""
    with torch.no_grad():
        run = live(params, tasks, episodes, each, torch.Generator().manual_seed(seed))
    return quiet(tasks, run).unflatten(0, (episodes, -1)).sum(1).mean(-1)


# The study

DRAWS, TARGETS = 10, 40  # of each family, and tasks in each split of a draw
UPDATES = 200  # of joint training and MAML
LOOKS = (0, 1, 2, 4, 8, 16, 32, 64)  # steps, of 4 episodes each
ALPHAS = (0.01, 0.03, 0.1, 0.3, 1.0)
ENTROPIES = (0.0, 1.0, 3.0, 10.0)  # of joint training
META = ({"alpha": 0.3, "steps": 1}, {"alpha": 1.0, "steps": 1}, {"alpha": 0.3, "steps": 3})  # of MAML
LIVES = dict(each=4, rate=0.02, lam=0.9)
RL2 = {  # in these families MAML, RL² and an untrained network compete as well
    "cousins": Recipe(800, episodes=6, entropy=0.03, gamma=0.97, **LIVES),
    "goals": Recipe(500, episodes=4, entropy=0.05, gamma=0.98, **LIVES),
}


def study(run: Callable[[str, int], dict[str, Tensor]], names: Iterable[str] = FAMILIES):
    """fn(seed) for `repro.load_or_run`: what run(name, seed) finds in every family, by "name: what"."""

    def found(seed: int) -> dict[str, np.ndarray]:
        return {f"{name}: {what}": x.numpy() for name in names for what, x in run(name, seed).items()}

    return found


def starts(name: str, seed: int = 0) -> dict[str, list[Params]]:
    """What each method offers a target to start from, [DRAWS, ...]; one for each of its recipes."""
    pool = sources(name, DRAWS, seed)
    bar = partial(tqdm, leave=False)
    mixed = bar(ENTROPIES, f"{name}: joint training")
    joint = [pretrain(pool, DRAWS, "joint", UPDATES, entropy) for entropy in mixed]
    if name not in RL2:
        return {"joint": joint}
    new = new_policies(pool, DRAWS, torch.Generator().manual_seed(1))  # not those that training began with
    paths = [recurrent.running(f"19_{name}_{k}_{seed}") for k in range(len(META))]
    recipes = bar(list(zip(paths, META, strict=True)), f"{name}: MAML")
    meta = [pretrain(pool, DRAWS, "MAML", UPDATES, path=p, **r) for p, r in recipes]
    return {"joint": joint, "MAML": meta, "scratch": [new]}


PLANS = {  # who starts where, and which parameters move
    **{setting: ("joint", [setting]) for setting in tuning.SETTINGS},
    "MAML": ("MAML", ["all", "head"]),
    "scratch": ("scratch", ["all"]),
}


def curves(name: str, seed: int = 0) -> dict[str, Tensor]:
    """Every plan's mean returns with every choice it has, [choices, 2, looks, draws]: validation and test."""
    offers, found = starts(name, seed), {}
    splits = [family(name, DRAWS, TARGETS, split, seed) for split in ("validation", "test")]
    for plan in [plan for plan, (who, _) in PLANS.items() if who in offers]:
        (who, settings), rows = PLANS[plan], []
        choices = list(product(offers[who], settings, ALPHAS))
        for theta, *how in tqdm(choices, f"{name}: {plan}", leave=False):
            begin = spread(theta, TARGETS)
            two = [learning_curve(begin, x, *how, LOOKS, seed=seed + k) for k, x in enumerate(splits)]
            rows.append(torch.stack(two).unflatten(-1, (DRAWS, TARGETS)).mean(-1))
        found[plan] = torch.stack(rows)
    return found


def remembering(name: str, seed: int = 0) -> dict[str, Tensor]:
    """The mean returns of RL² in its 1st, 2nd, … episode, [episodes, draws], on every split's tasks."""
    pool = sources(name, DRAWS, seed)
    nets = rl2(pool, DRAWS, RL2[name], seed, recurrent.running(f"19_{name}_rl2_{seed}"))
    parts = {split: family(name, DRAWS, TARGETS, split, seed) for split in ("validation", "test")}
    parts["train"] = pool
    return {k: by_episode(nets, x, 16).unflatten(-1, (DRAWS, -1)).mean(-1) for k, x in parts.items()}


START = {"siblings": 1.0, "cousins": 1.0, "goals": 10.0}  # entropy that validation prefers after 32 episodes
SAME = (4, 16, 64)  # episodes that are used again and again
SAME_LOOKS = (0, 1, 2, 4, 8, 16, 32, 64)  # steps on them
SAME_ALPHAS = (0.03, 0.1, 0.3)
GATE_ALPHAS, GATE_STEPS, HELD_OUT = (0.03, 0.1, 0.3), 8, 16  # 32 episodes to tune, 16 + 16 to decide


def reused(name: str, seed: int = 0) -> dict[str, Tensor]:
    """`again_and_again` of every setting, `same` [settings, alphas, episodes, 2, 3, looks, draws].

    The axis of 2 is validation and test, that of 3 is what the episodes promise, what others do, the truth.
    """
    M = TARGETS // 2
    begin = spread(pretrain(sources(name, DRAWS, seed), DRAWS, "joint", UPDATES, START[name]), M)
    splits = [family(name, DRAWS, M, split, seed) for split in ("validation", "test")]
    rows, choices = [], list(product(tuning.SETTINGS, SAME_ALPHAS, SAME))
    for setting, alpha, episodes in tqdm(choices, f"{name}: the same episodes", leave=False):
        for k, tasks in enumerate(splits):
            found = again_and_again(begin, tasks, setting, alpha, SAME_LOOKS, episodes, seed + k)
            rows.append(found.unflatten(-1, (DRAWS, M)).mean(-1))
    shape = len(tuning.SETTINGS), len(SAME_ALPHAS), len(SAME), 2
    return {"same": torch.stack(rows).unflatten(0, shape)}


def gated(name: str, seed: int = 0) -> dict[str, Tensor]:
    """Test tasks before and after fine-tuning, for each of the GATE_ALPHAS.

    `returns` [alphas, 2, 2, draws, M, HELD_OUT]: validation or fresh episodes, of the start or of the tuned
    policy; `exact` [alphas, 2, draws, M]: the same two policies' exact returns.
    """
    M, played, exact = TARGETS // 2, [], []
    begin = spread(pretrain(sources(name, DRAWS, seed), DRAWS, "joint", UPDATES, START[name]), M)
    tasks = family(name, DRAWS, M, "test", seed)
    for alpha in tqdm(GATE_ALPHAS, f"{name}: gate", leave=False):
        generator = torch.Generator().manual_seed(seed)
        loss = tuning.fresh_episodes(tasks, 4, generator)
        phi = maml.adapt(networks.require_grad(begin), loss, alpha, GATE_STEPS, create_graph=False)
        for _ in range(2):  # validation episodes, then fresh ones
            for policy in (begin, phi):
                played.append(tuning.collect(policy, tasks, HELD_OUT, generator).total)
        with torch.no_grad():
            exact += [tuning.exact_return(policy, tasks) for policy in (begin, phi)]
    returns = torch.stack(played).reshape(len(GATE_ALPHAS), 2, 2, DRAWS, M, HELD_OUT)
    return {"returns": returns.half(), "exact": torch.stack(exact).reshape(len(GATE_ALPHAS), 2, DRAWS, M)}
