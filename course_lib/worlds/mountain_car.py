"""Gymnasium's MountainCar-v0 for many cars at once, as pure functions of arrays."""

import numpy as np

LOW, HIGH = np.array([-1.2, -0.07]), np.array([0.6, 0.07])  # of position and velocity
GOAL = 0.5  # a position
ACTIONS = 3  # 0 throttle back, 1 coast, 2 throttle forward
LIMIT = 200  # Gymnasium's time limit: it truncates, and does not end the task


def start(cars: int, rng: np.random.Generator) -> np.ndarray:
    """First states [N, 2]: position uniform in [−.6, −.4], velocity 0."""
    return np.column_stack([rng.uniform(-0.6, -0.4, cars), np.zeros(cars)])


def step(state: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Next states [N, 2], rewards [N] (−1 a step) and who has reached the top [N] bool, for actions a [N].

    The motor is weaker than gravity, so the car must swing (Moore 1990; Sutton & Barto 2018, Example 10.1).
    """
    x, v = state[:, 0], state[:, 1]
    v = np.clip(v + 0.001 * (np.asarray(a) - 1) - 0.0025 * np.cos(3 * x), LOW[1], HIGH[1])
    x = np.clip(x + v, LOW[0], HIGH[0])
    v = np.where((x <= LOW[0]) & (v < 0), 0.0, v)  # the wall on the left stops the car
    return np.column_stack([x, v]), np.full(len(x), -1.0), (x >= GOAL) & (v >= 0)
