"""A finite MDP for deep learners: states are seen as one-hot rows, and thousands of episodes run at once."""

from dataclasses import dataclass

import numpy as np
import torch

from course_lib.worlds.mdp import MDP


@dataclass(frozen=True)
class OneHot:
    """An MDP with the interface of `torch_control`: a state is a number, seen as a row of the identity.

    With a network of no hidden layer, Q is then a table, so a deep method has an exact answer to reach. A
    step pays R(s, a); entering a terminal state terminates; `horizon` is the time limit, which truncates.
    """

    cumulative: torch.Tensor  # [S, A, S], running sums of P
    R: torch.Tensor  # [S, A]
    first: torch.Tensor  # [S], running sums of the start distribution
    terminal: torch.Tensor  # [S] bool
    horizon: int = 50

    @classmethod
    def of(cls, mdp: MDP, horizon: int = 50) -> "OneHot":
        """This MDP (dense or sparse), cut into episodes of at most `horizon` steps."""
        P = mdp.P.toarray().reshape(mdp.A, mdp.S, mdp.S).swapaxes(0, 1) if mdp.sparse else mdp.P
        sums = torch.tensor(np.cumsum(P, axis=-1)), torch.tensor(np.cumsum(mdp.start))
        R = torch.tensor(mdp.R, dtype=torch.float32)
        return cls(sums[0], R, sums[1], torch.tensor(mdp.terminal), horizon)

    @property
    def obs_size(self) -> int:
        return len(self.R)

    @property
    def n_actions(self) -> int:
        return self.R.shape[1]

    def start(self, episodes: int | tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """First states, whole numbers [E]."""
        shape = (episodes,) if isinstance(episodes, int) else tuple(episodes)
        dice = torch.rand(*shape, 1, generator=generator, dtype=torch.float64)
        return (dice >= self.first[:-1]).sum(-1)

    def observe(self, state: torch.Tensor) -> torch.Tensor:
        """One-hot rows [E, S]."""
        return torch.nn.functional.one_hot(state, self.obs_size).float()

    def step(
        self, state: torch.Tensor, action: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Next states [E], rewards [E] and who has reached an end [E] bool."""
        dice = torch.rand(*state.shape, 1, generator=generator, dtype=torch.float64)
        state2 = (dice >= self.cumulative[state, action][..., :-1]).sum(-1)
        return state2, self.R[state, action], self.terminal[state2]
