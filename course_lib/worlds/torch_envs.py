"""The families of tasks as Gymnasium environments: importing this module registers them.

`gymnasium.make("course_lib.worlds.torch_envs:course-tasks/GridGoal-v0")` imports and makes in one call. Ids:
course-tasks/Bandit-v0, GridGoal, MDP, Point and Pendulum, which take the arguments of their functions in
`tasks` (by default M = 100 tasks, and for GridGoal one for each goal of the split). Sines have no actions, so
they are no environment.
"""

from typing import ClassVar

import gymnasium as gym
import numpy as np
import torch

from course_lib.worlds import tasks as families

FAMILIES = {
    "Bandit": families.bandit_tasks,
    "GridGoal": families.grid_goal_tasks,
    "MDP": families.mdp_tasks,
    "Point": families.point_tasks,
    "Pendulum": families.pendulum_tasks,
}


class TaskEnv(gym.Env):
    """One task at a time, drawn anew by each reset(), or named: reset(options={"task": i}).

    The task's number is in reset's `info`, never in an observation; a bandit's observation is always 0. An
    episode is cut off (`truncated`) after the family's horizon. step() raises ValueError for an action that
    does not fit, and gymnasium.error.ResetNeeded when no episode is under way.
    """

    metadata: ClassVar = {"render_modes": []}

    def __init__(self, tasks: families.Tasks, render_mode: None = None):
        if render_mode is not None:
            raise ValueError(f"render_mode is {render_mode!r}: these environments draw nothing (None).")
        self.tasks, self.task, self.state, self.steps = tasks.to("cpu"), None, None, 0
        self.render_mode, self.generator = None, torch.Generator()
        self.observation_space, self.action_space = _observations(tasks), _actions(tasks)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Start an episode in a task: (observation, {"task": its number})."""
        super().reset(seed=seed)
        number = (options or {}).get("task")
        number = int(self.np_random.integers(len(self.tasks))) if number is None else number
        self.task = self.tasks[number]
        self.generator.manual_seed(int(self.np_random.integers(2**60)))
        self.state, self.steps = self.task.start(1, self.generator), 0
        return self._observation(), {"task": number}

    def step(self, action):
        """Act once: (observation, reward, terminated, truncated, {})."""
        if self.state is None:
            raise gym.error.ResetNeeded("no episode is under way: call reset() first.")
        if not self.action_space.contains(action):
            raise ValueError(f"there is no action {action!r}: it must be in {self.action_space}.")
        batched = torch.as_tensor(action)[None, None]
        after, reward, terminated = self.task.step(self.state, batched, self.generator)
        self.state, self.steps = after, self.steps + 1
        seen, terminated = self._observation(), bool(terminated)
        truncated = self.steps >= self.task.horizon
        if terminated or truncated:
            self.state = None
        return seen, float(reward), terminated, truncated, {}

    def _observation(self):
        if not self.tasks.obs_size:
            return np.int64(0)
        return self.task.observe(self.state)[0, 0].numpy().astype(np.float32)


def _observations(tasks: families.Tasks) -> gym.Space:
    if not tasks.obs_size:
        return gym.spaces.Discrete(1)
    most = {families.PointTasks: [np.inf] * 2, families.PendulumTasks: [1, 1, families.PendulumTasks.fastest]}
    high = np.array(most.get(type(tasks), [1] * tasks.obs_size), dtype=np.float32)
    low = np.zeros_like(high) if hasattr(tasks, "n_actions") else -high
    return gym.spaces.Box(low, high)


def _actions(tasks: families.Tasks) -> gym.Space:
    if hasattr(tasks, "n_actions"):
        return gym.spaces.Discrete(tasks.n_actions)
    return gym.spaces.Box(-tasks.largest, tasks.largest, (tasks.action_size,), np.float32)


def make(family: str, render_mode: None = None, **settings) -> TaskEnv:
    """What `gymnasium.make` calls: the environment of one of FAMILIES, with these settings."""
    settings = ({} if family == "GridGoal" else {"M": 100}) | settings
    return TaskEnv(FAMILIES[family](**settings), render_mode)


for _family in FAMILIES:
    if f"course-tasks/{_family}-v0" not in gym.registry:
        gym.register(f"course-tasks/{_family}-v0", f"{__name__}:make", kwargs={"family": _family})
