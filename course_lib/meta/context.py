"""Inferring the task: a learned belief over tasks, and two agents that act on it.

The belief model is a small variational autoencoder with K kinds of task, the latent z. Its decoder predicts
the reward of a step under every z; its encoder adds up one message a step, log q(z | h) = log p(z) + Σ
messages, so the order of the steps does not matter, and Bayes' rule itself is one of the things that it can
say. Both are trained on the evidence lower bound of what has been seen, with the sum over z exact.

The agents differ in what they do with the belief. One draws a z and acts for an episode as if it were true
(the guesser, like PEARL); the other reads the whole belief (the believer, like VariBAD).
Sources: Kingma & Welling 2014; Rakelly et al. 2019 (PEARL); Zintgraf et al. 2020 (VariBAD).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from course_lib.agents import networks
from course_lib.agents.networks import Params, mlp
from course_lib.agents.policy_gradient import ppo_loss
from course_lib.agents.training import generator_from, train
from course_lib.meta.recurrent import advantages, draw, running
from course_lib.worlds.tasks import PointTasks, Tasks

# The belief


def belief_init(
    obs_size: int, kinds: int, hidden: tuple[int, ...], sigma: float, generator: torch.Generator
) -> Params:
    """A belief model over `kinds` tasks: the log-odds `prior` [K], all 0; the deviation `sigma` of a reward;
    the decoder `reward_…`, a network from an observation to K expected rewards.

    With hidden=() and one-hot observations the decoder is a table.
    """
    reward = networks.mlp_init([obs_size, *hidden, kinds], generator, last=0.1)
    parts = {"prior": torch.zeros(kinds, device=generator.device)}
    parts["sigma"] = torch.tensor(sigma, device=generator.device)
    return parts | {f"reward_{name}": p for name, p in reward.items()}


def encoder_init(obs_size: int, kinds: int, hidden: tuple[int, ...], generator: torch.Generator) -> Params:
    """The encoder `message_…`, from [obs, obs · reward, reward] to K numbers; join it to a model by |."""
    message = networks.mlp_init([2 * obs_size + 1, *hidden, kinds], generator, last=0.1)
    return {f"message_{name}": p for name, p in message.items()}


def _part(params: Params, prefix: str) -> Params:
    return {name[len(prefix) :]: p for name, p in params.items() if name.startswith(prefix)}


def messages(model: Params, obs: Tensor, reward: Tensor) -> Tensor:
    """What each step says about each z, [..., K], in nats: where it ended, and what it was paid."""
    if "message_W0" not in model:
        return log_likelihood(model, obs, reward)  # no encoder: Bayes' rule, with the decoder's word
    r = reward[..., None]
    return LOUD * mlp(_part(model, "message_"), torch.cat([obs, obs * r, r], -1))


def predicted(model: Params, obs: Tensor) -> Tensor:
    """The reward that the decoder expects for ending a step in obs [..., obs_size], for each z: [..., K]."""
    return mlp(_part(model, "reward_"), obs)


def beliefs(model: Params, obs: Tensor, rewards: Tensor) -> Tensor:
    """log q(z | first t steps) for t = 0 … T, [T + 1, ..., K], from obs [T, ..., obs_size] and rewards."""
    said = messages(model, obs, rewards)
    start = model["prior"].expand_as(said[:1])
    return torch.log_softmax(torch.cat([start, start + said.cumsum(0)]), -1)


def log_likelihood(model: Params, obs: Tensor, rewards: Tensor) -> Tensor:
    """log p(r | s, z) of each step, [..., K], up to a constant: normal rewards with deviation `sigma`."""
    return -((rewards[..., None] - predicted(model, obs)) ** 2) / (2 * model["sigma"] ** 2)


def bound(model: Params, obs: Tensor, rewards: Tensor) -> Tensor:
    """The evidence lower bound of the first t rewards, t = 0 … T, [T + 1, ...], by an exact sum over z.

    Σ_z q(z | h_t) [log p(r_1 … r_t | z) + log p(z) − log q(z | h_t)]; equal to log p(r_1 … r_t) exactly if
    q is the posterior. What follows after step t is not decoded: a bound on the future too is not tight at
    the belief.
    """
    log_q = beliefs(model, obs, rewards)
    seen = log_likelihood(model, obs, rewards).cumsum(0)
    seen = torch.cat([torch.zeros_like(seen[:1]), seen])
    log_p = torch.log_softmax(model["prior"], -1)
    return (log_q.exp() * (seen + log_p - log_q)).sum(-1)


def evidence(model: Params, obs: Tensor, rewards: Tensor) -> Tensor:
    """log p(r_1 … r_t), t = 0 … T, [T + 1, ...]: the sum over z that the bound stays below."""
    seen = log_likelihood(model, obs, rewards).cumsum(0)
    log_p = torch.log_softmax(model["prior"], -1)
    return torch.cat([torch.zeros_like(seen[:1, ..., 0]), torch.logsumexp(seen + log_p, -1)])


# Living in a task with a belief


@dataclass(frozen=True)
class Lives:
    """E lives in each of M tasks over T steps: tensors [T, M, E, ...].

    `obs` are those the actions were chosen in, `after` those where the steps ended, `log_q` the beliefs
    before the steps, `clock` the share of the episode and of the life gone by, `z` the guess held, if any.
    """

    obs: Tensor
    actions: Tensor
    rewards: Tensor
    after: Tensor
    log_q: Tensor
    clock: Tensor
    z: Tensor


LOUD = 5.0  # the unit of a message, in nats: a surprise can be told in one step
SHARP = 0.01  # τ of `advice`, in rewards: differences of Q-values below it are hardly noticed
TRUST = 5.0  # how much the believer's logits begin with the advice
Choose = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@torch.no_grad()
def lifetimes(
    choose: Choose,
    model: Params,
    tasks: Tasks,
    episodes: int,
    generator: torch.Generator,
    each: int = 1,
    refuted: float = 0.0,
) -> Lives:
    """Lives of `episodes` episodes; choose(obs, log_q, clock, z) gives the actions [M, E].

    A guess z is drawn from the belief when an episode begins, and again as soon as its probability is below
    `refuted` times the largest; with 0 it is held. Who reads the belief need not look at it.
    """
    state, rows, T = tasks.start(each, generator), [], episodes * tasks.horizon
    log_q = torch.log_softmax(model["prior"], -1).expand(len(tasks), each, -1)
    for t in range(T):
        if t % tasks.horizon == 0:
            state, z = tasks.start(each, generator), draw(log_q, generator)
        if refuted:
            chance = log_q.gather(-1, z[..., None])[..., 0] - log_q.max(-1).values
            z = torch.where(chance.exp() < refuted, draw(log_q, generator), z)
        obs = tasks.observe(state)
        clock = torch.tensor([t % tasks.horizon / tasks.horizon, t // tasks.horizon], device=tasks.device)
        clock = clock.expand(*z.shape, 2)
        action = choose(obs, log_q, clock, z)
        state, reward, _ = tasks.step(state, action, generator)
        after = tasks.observe(state)
        rows.append([obs, action, reward, after, log_q, clock, z])
        log_q = torch.log_softmax(log_q + messages(model, after, reward), -1)
    return Lives(*map(torch.stack, zip(*rows, strict=True)))


def wander(tasks: Tasks, seed: int, each: int, episodes: int = 2) -> Lives:
    """Aimless lives, to learn a family from: every walker has favourite actions of its own, at random."""
    generator = torch.Generator().manual_seed(seed)
    taste = torch.log_softmax(2 * torch.randn(len(tasks), each, tasks.n_actions, generator=generator), -1)
    nothing = belief_init(tasks.obs_size, len(tasks), (), 1.0, generator)
    return lifetimes(lambda *_: draw(taste, generator), nothing, tasks, episodes, generator, each)


def from_tables(pays: Tensor, Q: Tensor, sigma: float) -> tuple[Params, Params]:
    """A belief model and Q-values from tables: rewards pays [places, K] and Q [K, places, A].

    They are for one-hot observations, and to be kept: beside its table, the second holds what every z would
    do in each place, `share` [places, K, A].
    """
    K, places, A = Q.shape
    model = {"prior": torch.zeros(K), "sigma": torch.tensor(sigma)}
    model |= {"reward_W0": pays, "reward_b0": torch.zeros(K)}
    by_place = Q.float().permute(1, 0, 2)
    share = torch.softmax(by_place / SHARP, -1)
    return model, {"W0": by_place.reshape(places, K * A), "b0": torch.zeros(K * A), "share": share}


def by_episode(lives: Lives, horizon: int) -> Tensor:
    """The sum of rewards of each episode, [episodes, M, E]."""
    return lives.rewards.reshape(-1, horizon, *lives.rewards.shape[1:]).sum(1)


@dataclass(frozen=True)
class Compass(PointTasks):
    """2-D navigation with nine actions: a step of −.1, 0 or .1 in each coordinate (4 stays), within ±.7.

    So there are 15 × 15 places to be in, and the observation is the place, one-hot. Goals lie anywhere.
    """

    n_actions: ClassVar[int] = 9
    edge: ClassVar[int] = 7  # steps from the middle to the edge
    obs_size: ClassVar[int] = 225

    @classmethod
    def places(cls) -> Tensor:
        """Where the 225 places are, [225, 2]."""
        along = cls.largest * torch.arange(-cls.edge, cls.edge + 1)
        return torch.cartesian_prod(along, along)

    def observe(self, state: Tensor) -> Tensor:
        i, j = (state / self.largest).round().long().unbind(-1)
        return one_hot((i + self.edge) * (2 * self.edge + 1) + j + self.edge, self.obs_size).float()

    def step(self, state: Tensor, action: Tensor, generator: torch.Generator | None = None):
        action, limit = self._arms(state, action), self.edge * self.largest
        move = torch.stack([action // 3 - 1, action % 3 - 1], -1) * self.largest
        return super().step(state, (state + move).clamp(-limit, limit) - state, generator)


def compass(tasks: PointTasks) -> Compass:
    """The same tasks, for agents that choose among nine moves."""
    return Compass(tasks.goal, tasks.horizon, tasks.sparse)


# Training


@dataclass(frozen=True)
class Recipe:
    """Numbers for training an agent.

    hidden, sigma           of the belief model: its layers, and the deviation of a reward
    model_rate, q_rate      step sizes of the decoder and of the Q-values, with `model_passes` and `q_passes`
                            steps an update, the latter on `q_batch` rows; `task_gamma` discounts them
    explore                 how often the guesser does anything while it is trained
    net, rate, passes, entropy, gamma, lam   of the believer's PPO, over whole lives
    episodes, each          a life's episodes, and lives in each task at every update

    Step sizes, and the weight of the entropy bonus, fall in a straight line to 0 at the last update.
    """

    updates: int
    hidden: tuple[int, ...] = ()
    sigma: float = 0.3
    model_rate: float = 0.05
    model_passes: int = 3
    q_rate: float = 0.05
    q_passes: int = 14
    q_batch: int = 1024
    task_gamma: float = 0.85
    explore: float = 0.2
    net: tuple[int, ...] = (64, 64)
    rate: float = 5e-3
    passes: int = 5
    entropy: float = 0.05
    gamma: float = 1.0
    lam: float = 0.9
    episodes: int = 2
    each: int = 4


def q_values(Q: Params, obs: Tensor, kinds: int) -> Tensor:
    """Q_z(s, a) of all z at once, [..., K, A], times 1 − γ: on the scale of one reward."""
    return mlp(Q, obs).unflatten(-1, (kinds, -1))


def advice(Q: Params, obs: Tensor, log_q: Tensor) -> Tensor:
    """The share of the belief that would take each action, [..., A]: Σ_z q(z) softmax(Q_z(s, ·)/τ).

    Where Q came `from_tables` with its `share`, obs is one-hot and the share of each z is looked up.
    """
    if "share" in Q:
        share = Q["share"][obs.argmax(-1)]
    else:
        share = torch.softmax(q_values(Q, obs, log_q.shape[-1]) / SHARP, -1)
    return (log_q.exp().unsqueeze(-2) @ share).squeeze(-2)


def guessing(Q: Params, generator: torch.Generator, explore: float = 0.0) -> Choose:
    """How the guesser chooses: as if its guess z were true; with probability `explore`, anything.

    Where actions are equally good for z (within rounding of the Q-values), they share.
    """

    def choose(obs: Tensor, log_q: Tensor, clock: Tensor, z: Tensor) -> Tensor:
        certain = torch.log(one_hot(z, log_q.shape[-1]).to(obs.dtype))
        action = draw(torch.log(advice(Q, obs, certain) + 1e-9), generator)
        u = torch.rand(z.shape, generator=generator, device=generator.device).to(z.device)
        return torch.where(u < explore, draw(torch.zeros_like(advice(Q, obs, certain)), generator), action)

    return choose


def heads(params: Params, obs: Tensor, log_q: Tensor, clock: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
    """log π(a | s, belief, clock) [..., A] and the value [...] of the believer.

    Its networks read the observation, the belief divided by its largest entry, the clock, and the advice
    `told`, which also is added to the logits.
    """
    q = (log_q - log_q.max(-1, keepdim=True).values).exp()
    x = torch.cat([obs, q, clock, told], -1)
    log_pi = torch.log_softmax(mlp(_part(params, "pi_"), x) + TRUST * told, -1)
    return log_pi, mlp(_part(params, "v_"), x)[..., 0]


def believing(
    params: Params, Q: Params, generator: torch.Generator | None = None, together: bool = False
) -> Choose:
    """How the believer chooses: a draw from its policy, or, without a generator, the likeliest action.

    `together` lets the e-th lives of all tasks share their luck: they do the same until a reward tells them
    apart, so a plan is compared with another on all tasks, and not by the luck of one goal.
    """

    def choose(obs: Tensor, log_q: Tensor, clock: Tensor, z: Tensor) -> Tensor:
        log_pi, _ = heads(params, obs, log_q, clock, advice(Q, obs, log_q))
        if generator is None:
            return log_pi.argmax(-1)
        shape = log_pi[:1].shape if together else log_pi.shape
        u = torch.rand(shape, generator=generator, device=generator.device).to(log_pi.device)
        return (log_pi - torch.log(-torch.log(u.clamp(1e-9, 1 - 1e-7)))).argmax(-1)

    return choose


def climb(params: Params, memory: dict, loss_of: Callable[[Params], Tensor], passes: int, rate: float):
    """`passes` Adam steps down loss_of(params), the gradient's length at most 1: parameters, memory, loss."""
    loss = torch.zeros(())
    for _ in range(passes):
        params = networks.require_grad(params)
        loss = loss_of(params)
        grads = networks.clip_norm(networks.gradients(loss, params), 1.0)
        params, memory = networks.adam(params, grads, memory, rate)
    return {name: p.detach() for name, p in params.items()}, memory, loss.item()


def q_loss(Q: Params, model: Params, lives: Lives, gamma: float, rows: Tensor) -> Tensor:
    """The squared TD error of Q_z for *every* z, on the same steps, those numbered in `rows`.

    Where a step ended does not depend on the task; what it would have paid under z, the decoder says. The
    target (1 − γ) r_z + γ max Q_z counts as a constant.
    """
    obs, actions, after = (x.flatten(0, 2)[rows] for x in (lives.obs, lives.actions, lives.after))
    with torch.no_grad():
        pays = predicted(model, after)  # [rows, K]
        K = pays.shape[-1]
        target = (1 - gamma) * pays + gamma * q_values(Q, after, K).max(-1).values
    taken = actions[:, None, None].expand(-1, K, 1)
    return (q_values(Q, obs, K).gather(-1, taken)[..., 0] - target).pow(2).mean()


def some_rows(lives: Lives, recipe: Recipe, generator: torch.Generator) -> Tensor:
    return torch.randint(lives.rewards.numel(), (recipe.q_batch,), generator=generator)


def decoder_of(model: Params) -> Params:
    """The part of a belief model that predicts rewards."""
    return {name: p for name, p in model.items() if name.startswith("reward_")}


def decoder_loss(model: Params, lives: Lives) -> Tensor:
    """The decoder's squared error, where z is the number of the task: in training, the tasks are ours."""
    own = torch.arange(lives.rewards.shape[1], device=lives.rewards.device)[:, None, None]
    mean = predicted(model, lives.after).gather(-1, own.expand(*lives.rewards.shape, 1))[..., 0]
    return ((lives.rewards - mean) ** 2).mean()


def same_so_far(rewards: Tensor) -> Tensor:
    """Whether the e-th lives in two tasks were paid the same before step t, [T, M, M, E], from [T, M, E].

    If they shared their luck (`together` in `believing`), they then went the same way, and the policy cannot
    tell the two tasks apart.
    """
    weight = torch.rand(len(rewards), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    past = (weight.to(rewards.device)[:, None, None] * rewards).cumsum(0)
    past = torch.cat([torch.zeros_like(past[:1]), past[:-1]])  # one number for all rewards before step t
    return past[:, :, None] == past[:, None]


def over_tasks(x: Tensor, same: Tensor) -> Tensor:
    """x [T, M, E], averaged over the tasks that look the same: where the goal lies is luck to the policy."""
    return (same * x[:, None]).sum(2) / same.sum(2)


def improve_policy(params: Params, Q: Params, memory: dict, lives: Lives, recipe: Recipe, left: float):
    """`passes` Adam steps of PPO on these lives; a life is one long episode. New parameters and memory.

    Advantages and values are averaged over the tasks that look the same, and one of them stands for all.
    """
    T, M = lives.rewards.shape[:2]
    same = same_so_far(lives.rewards)
    first = same.byte().argmax(2) == torch.arange(M, device=same.device)[:, None]  # stands for all alike
    weight = same.sum(2)[first].to(lives.rewards.dtype)
    weight = weight / weight.mean()
    told = advice(Q, lives.obs, lives.log_q)
    with torch.no_grad():
        log_pi, value = heads(params, lives.obs, lives.log_q, lives.clock, told)
        old = log_pi.gather(-1, lives.actions[..., None])[..., 0][first]
        adv = advantages(value * T, lives.rewards, recipe.gamma, recipe.lam)
        target = over_tasks(adv / T + value, same)[first]
        adv = over_tasks(adv, same)
        adv = ((adv - adv.mean()) / (adv.std() + 1e-6))[first]
    x, taken = (lives.obs[first], lives.log_q[first], lives.clock[first], told[first]), lives.actions[first]

    def loss_of(params: Params) -> Tensor:
        log_pi, value = heads(params, *x)
        loss = ppo_loss(log_pi.gather(-1, taken[..., None])[..., 0], old, weight * adv)
        entropy = -(log_pi.exp() * log_pi).sum(-1)
        return loss + (weight * (0.5 * (value - target).pow(2) - recipe.entropy * left * entropy)).mean()

    return climb(params, memory, loss_of, recipe.passes, recipe.rate * left)[:2]


def begin(tasks: Tasks, recipe: Recipe, seed: int) -> dict:
    """The state before training: `model`, `Q`, the believer's `params`, Adam's memories, and records."""
    generator, K, A = torch.Generator().manual_seed(seed), len(tasks), tasks.n_actions
    model = belief_init(tasks.obs_size, K, recipe.hidden, recipe.sigma, generator)
    Q = networks.mlp_init([tasks.obs_size, *recipe.hidden, K * A], generator, last=0.1)
    sizes = [tasks.obs_size + K + 2 + A, *recipe.net]
    parts = {"pi": networks.mlp_init([*sizes, A], generator, last=0.01)}
    parts["v"] = networks.mlp_init([*sizes, 1], generator, last=0.01)
    params = {f"{part}_{name}": p for part, net in parts.items() for name, p in net.items()}
    adams = {
        "model": networks.adam_init(decoder_of(model)),
        "Q": networks.adam_init(Q),
        "pi": networks.adam_init(params),
    }
    state = {"model": model, "Q": Q, "params": params, "adams": adams, "rng": generator.get_state()}
    return state | {"scores": [], "errors": []}


def learner(tasks_for: Callable[[int], Tasks], recipe: Recipe, kind: str, seed: int = 0):
    """(begin, update) for `training.train`: a "guesser" or a "believer", with all it infers with.

    tasks_for(k) are the training tasks of update k. The state holds `model` (the belief), `Q` (the values for
    each z), `params` (the believer's policy), `scores`, the mean return of each episode at each update, and
    `errors`, of the decoder. No gradient of the policy flows into the belief.
    """
    if kind not in ("guesser", "believer"):
        raise ValueError(f"kind is {kind!r}: choose 'guesser' or 'believer'.")

    def update(state: dict) -> dict:
        k, generator = len(state["scores"]), generator_from(state["rng"])
        left, tasks, adams = 1 - k / recipe.updates, tasks_for(k), dict(state["adams"])
        model, Q, params = state["model"], state["Q"], state["params"]
        guess = guessing(Q, generator, recipe.explore)
        choose = guess if kind == "guesser" else believing(params, Q, generator, together=True)
        lives = lifetimes(choose, model, tasks, recipe.episodes, generator, recipe.each)
        if kind == "believer":
            params, adams["pi"] = improve_policy(params, Q, adams["pi"], lives, recipe, left)
        decoder, adams["model"], loss = climb(
            decoder_of(model),
            adams["model"],
            lambda decoder: decoder_loss(decoder, lives),
            recipe.model_passes,
            recipe.model_rate * left,
        )
        model = model | decoder
        Q, adams["Q"], _ = climb(
            Q,
            adams["Q"],
            lambda Q: q_loss(Q, model, lives, recipe.task_gamma, some_rows(lives, recipe, generator)),
            recipe.q_passes,
            recipe.q_rate * left,
        )
        score = by_episode(lives, tasks.horizon).mean((1, 2)).tolist()
        records = {"scores": [*state["scores"], score], "errors": [*state["errors"], loss]}
        parts = {"model": model, "Q": Q, "params": params, "adams": adams}
        return parts | records | {"rng": generator.get_state()}

    return lambda: begin(tasks_for(0), recipe, seed), update


def learn(
    tasks_for: Callable[[int], Tasks],
    recipe: Recipe,
    kind: str,
    seed: int = 0,
    name: str = "",
    show: bool = True,
    **known,
) -> dict:
    """The state at the end of a training run of `learner`.

    `known` is what is there from the start, such as a `model` or `Q` learned before. With a name the run can
    be killed: started again, it goes on where it was.
    """
    if "share" in known.get("Q", {}) and recipe.q_passes:
        raise ValueError("Q came from tables, which are kept: give a recipe with q_passes=0.")
    begin, update = learner(tasks_for, recipe, kind, seed)
    path = running(f"{name}_{seed}") if name else None
    about = f"{name or kind} {seed}"
    how = dict(path=path, every=20, about=about, settings=recipe, show=show)
    return train(lambda: begin() | known, update, recipe.updates, **how)
