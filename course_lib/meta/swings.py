"""Swing-ups of a pendulum that changes on the way, and policies distilled from its controller (ch. 17).

The pendulum hangs, and its motor is too weak to lift it in one go. The controller is `agents.mpc.control`
with CEM; its nominal model is the light pendulum's own, or any other that is given.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from tqdm.auto import tqdm

from course_lib.agents import dynamics, mpc
from course_lib.agents.networks import Params, adam, adam_init, gradients, mlp, mlp_init, require_grad
from course_lib.worlds.torch_control import Pendulum

LIGHT = Pendulum()
SETTINGS = {"horizon": 20, "plans": 100, "elites": 10, "rounds": 3, "spread": 1.0, "limit": 2.0}
TORQUES = torch.linspace(-2, 2, 11)
CHANGE_AT = 20  # the step at which the pendulum changes


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def hanging(episodes: int, generator: torch.Generator) -> Tensor:
    """First states [E, 2] near hanging at rest: angle π and speed 0, both with deviation .2."""
    return torch.tensor([torch.pi, 0.0]) + 0.2 * torch.randn(episodes, 2, generator=generator)


def transitions(run: mpc.Run) -> tuple[Tensor, Tensor, Tensor]:
    """What was seen [n, 3], done [n, 1] and came of it: the change of the state and the reward, [n, 3]."""
    s, a = run.states[:-1].flatten(0, 1), run.actions.flatten(0, 1)
    change = run.states[1:].flatten(0, 1) - s
    return LIGHT.observe(s), a, torch.cat([change, run.rewards.reshape(-1, 1)], dim=1)


def play(model: mpc.Model | None, steps: int, generator: torch.Generator, start: Tensor | None = None):
    """The `transitions` of playing with a model on the light pendulum; with None, of random torques."""
    start = hanging(1, generator) if start is None else start
    how = SETTINGS if model else {"planner": _blindly, "horizon": 1, "limit": 2.0}
    return transitions(mpc.control(lambda t: LIGHT, lambda t: model, start, steps, generator, **how))


def scale() -> dynamics.Normaliser:
    """Centres and widths of what a light pendulum shows under random torques, for its angle and speed."""
    s, a, target = play(None, 40, seeded(1), LIGHT.start(50, seeded(0)))
    return dynamics.normaliser(s, a, target[:, :2])


def swing_up(
    changed: Pendulum, way: str, episodes: int, seed: int, believed: mpc.Model | None = None, **how
) -> mpc.Run:
    """200 steps from hanging; at step 20 the light pendulum becomes `changed`.

    way       "true": plan with the true model, at every step. Else with `believed`, by default that of the
              light pendulum, and correct "nothing", the "action" or the "model" (see `mpc.control`)
    """
    believed = believed or mpc.true_model(LIGHT)

    def world(t: int) -> Pendulum:
        return LIGHT if t < CHANGE_AT else changed

    def model(t: int) -> mpc.Model:
        return mpc.true_model(world(t)) if way == "true" else believed

    settings = {"steps": 200, "normaliser": scale(), "observe": LIGHT.observe, "forget": 0.8} | SETTINGS | how
    start, generator = hanging(episodes, seeded(seed)), seeded(seed + 1)
    correct = "nothing" if way == "true" else way
    return mpc.control(world, model, start, generator=generator, correct=correct, **settings)


def ask(state: Tensor, start: Tensor | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The light pendulum's controller: its plan [E, H, 1], and the shares q [E, 11] of its torques now.

    The shares are those of its elites' first actions in the bins around TORQUES.
    """
    how = {name: x for name, x in SETTINGS.items() if name != "rounds"} | {"elites": 20}
    search = mpc.cem_rounds(mpc.true_model(LIGHT), state, generator=generator, start=start, **how)
    *_, last = (next(search) for _ in range(SETTINGS["rounds"]))
    bins = (last.plans[:, :, 0] - TORQUES).abs().argmin(dim=2)  # [E, N]
    return last.mean, (one_hot(bins, len(TORQUES)) * last.weights[..., None]).sum(dim=1)


def policy(params: Params, state: Tensor) -> Tensor:
    """The logits of the torques [..., 11] for states [..., 2]; one policy, or many with an axis in front."""
    return mlp(params, LIGHT.observe(state) / 8)


def choose(params: Params, state: Tensor) -> Tensor:
    """The likeliest torque, [..., 1]."""
    return TORQUES[policy(params, state).argmax(dim=-1)][..., None]


def cross_entropy(q: Tensor, logits: Tensor) -> Tensor:
    """−Σ q log π over the last axis, with π the softmax of the logits."""
    return -(q * logits.log_softmax(dim=-1)).sum(dim=-1)


def train(params: Params, states: Tensor, q: Tensor, generator: torch.Generator, steps: int) -> Params:
    """Adam on the cross-entropy; each of K policies learns from its own states [K, n, 2] and q [K, n, 11]."""
    memory, each = adam_init(params), torch.arange(len(states))[:, None]
    for _ in range(steps):
        rows = torch.randint(states.shape[1], (len(states), 128), generator=generator)
        params = require_grad(params)
        losses = cross_entropy(q[each, rows], policy(params, states[each, rows])).mean(dim=1)
        params, memory = adam(params, gradients(losses.sum(), params), memory, rate=3e-3)
    return {name: p.detach() for name, p in params.items()}


def distil(
    seed: int, students: int = 10, episodes: int = 8, steps: int = 200, training: int = 1500
) -> Params:
    """Policies that learn what the controller would do, each from episodes of its own (Ross et al. 2011).

    First the controller plays, then the policies play, and the controller is asked wherever they come.
    """
    generator, seen, answers = seeded(seed), [], []
    each = [mlp_init([3, 64, 64, len(TORQUES)], generator, last=0.1) for _ in range(students)]
    params = {name: torch.stack([p[name] for p in each]) for name in each[0]}
    for teaching in (True, False):
        state, plan = hanging(students * episodes, generator), None
        for _ in tqdm(range(steps), "controller" if teaching else "policies", leave=False):
            plan, q = ask(state, None if plan is None else mpc.shift(plan), generator)
            seen.append(state.reshape(students, episodes, 2))
            answers.append(q.reshape(students, episodes, -1))
            action = plan[:, 0] if teaching else choose(params, seen[-1]).reshape(-1, 1)
            state = LIGHT.step(state, action)[0]
        params = train(params, torch.cat(seen, dim=1), torch.cat(answers, dim=1), generator, training)
    return params


def play_policies(params: Params, changed: Pendulum, seed: int, episodes: int = 100) -> Tensor:
    """The mean return of each policy after step 20, when the light pendulum becomes `changed`, [K]."""
    students = len(params["W0"])
    state = hanging(students * episodes, seeded(seed)).reshape(students, episodes, 2)
    total = torch.zeros(students)
    for t in range(200):
        state, reward, _ = (LIGHT if t < CHANGE_AT else changed).step(state, choose(params, state))
        total = total + (reward.mean(dim=1) if t >= CHANGE_AT else 0.0)
    return total


def _blindly(model, state, horizon, generator, limit, **start) -> Tensor:
    return limit * (2 * torch.rand(len(state), horizon, 1, generator=generator) - 1)
