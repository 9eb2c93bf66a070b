"""Where the names of lines go: beside their own line, off every other line and off one another."""

from collections.abc import Sequence

import numpy as np

STEP = 6.0  # how dense the lines are sampled, in pixels
CLEAR = 30.0  # more distance than this to the nearest other line is no better


def places(
    lines: Sequence[np.ndarray], sizes: Sequence[tuple[float, float]], box: tuple[float, ...]
) -> list[np.ndarray]:
    """The centre of a label for each line.

    lines [P, 2] are points of the picture, sizes the width and height of each label, box (left, top, right,
    bottom) where labels may be. Of some places above, below and beside its line, each label takes the one
    that covers the fewest lines, then the farthest from all others; of equal ones the rightmost.
    """
    paths = [_inside(_sampled(line), box) for line in lines]
    taken, centres = [], []
    for i, (path, size) in enumerate(zip(paths, sizes, strict=True)):
        others = np.concatenate([np.zeros((0, 2)), *paths[:i], *paths[i + 1 :], *taken])
        centre = _best(path, others, np.array(size), box)
        taken.append(_filled(centre, size))
        centres.append(centre)
    return centres


def _best(path: np.ndarray, others: np.ndarray, size: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    left, top, right, bottom = box
    if not len(path):
        return np.array([left - 1000, top - 1000])  # the line is not seen, so neither is its name
    some = path[np.linspace(0, len(path) - 1, 16).astype(int)]
    side, up = size / 2 + 5
    shifts = np.array([(0, -up), (0, up), (side, -up / 2), (side, up / 2), (-side, -up / 2), (-side, up / 2)])
    centres = (some[:, None] + shifts).reshape(-1, 2)
    centres = np.clip(
        centres, (left + size[0] / 2, top + size[1] / 2), (right - size[0] / 2, bottom - size[1] / 2)
    )
    own, far = _gaps(centres, path, size), _gaps(centres, others, size)
    covered = (own < 2).sum(axis=1) + (far < 2).sum(axis=1)
    room = np.round(far.min(axis=1, initial=CLEAR))
    return centres[np.argmax(room - 50 * covered + 10 * (centres[:, 0] - left) / (right - left))]


def _gaps(centres: np.ndarray, points: np.ndarray, size: np.ndarray) -> np.ndarray:
    """How far each point is from the label at each centre, [centres, points]; 0 inside it."""
    across, down = (np.abs(centres[:, i, None] - points[:, i]) - size[i] / 2 for i in (0, 1))
    return np.maximum(np.maximum(across, down), 0)


def _sampled(line: np.ndarray) -> np.ndarray:
    """Points along the line, STEP apart, however steep it is."""
    line = line[np.isfinite(line[:, 1])]
    along = (
        np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))]) if len(line) else np.zeros(0)
    )
    at = np.arange(0.0, along[-1] + STEP, STEP) if len(line) else along
    return np.column_stack([np.interp(at, along, line[:, i]) for i in (0, 1)]) if len(line) else line


def _inside(points: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    return points[((points >= box[:2]) & (points <= box[2:])).all(axis=1)]


def _filled(centre: np.ndarray, size: tuple[float, float]) -> np.ndarray:
    """Points that fill a label, so that the next one keeps off."""
    across, down = (np.linspace(-x / 2, x / 2, 5) for x in size)
    return centre + np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
