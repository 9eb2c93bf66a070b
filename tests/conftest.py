"""What every test leaves behind (no open figure), and other seeds for all of them at once (`--reseed 7`)."""

import sys

import numpy as np
import pytest

REASON = "its outcome belongs to its seed: {}"


def pytest_addoption(parser):
    parser.addoption(
        "--reseed",
        type=int,
        default=0,
        metavar="N",
        help="draw other random numbers from every seed, in the N-th way (0: as written)",
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "one_seed(reason): holds for the seed as written, skipped by --reseed")
    if number := config.getoption("--reseed"):
        reseed(number)


def pytest_collection_modifyitems(config, items):
    if config.getoption("--reseed"):
        for item in items:
            if marker := item.get_closest_marker("one_seed"):
                item.add_marker(pytest.mark.skip(reason=REASON.format(*marker.args)))


def reseed(number: int) -> None:
    """From now on, the generators of NumPy, Gymnasium and PyTorch that are given a seed take another one."""
    from gymnasium.utils import seeding

    default_rng, of_gymnasium = np.random.default_rng, seeding.np_random

    def other_rng(seed=None):
        if seed is None or isinstance(seed, np.random.Generator | np.random.BitGenerator):
            return default_rng(seed)
        spawned = np.random.SeedSequence if isinstance(seed, np.random.SeedSequence) else None
        words = seed.generate_state(4).tolist() if spawned else np.atleast_1d(seed).tolist()
        return default_rng([*words, number])

    def other_np_random(seed=None):
        rng, said = of_gymnasium(seed)
        return (rng if seed is None else default_rng([seed, number])), said

    np.random.default_rng, seeding.np_random = other_rng, other_np_random
    try:
        import torch
    except ImportError:
        return

    class Generator(torch.Generator):
        def manual_seed(self, seed):
            return super().manual_seed(1_000_003 * number + seed)

    torch.Generator = Generator


@pytest.fixture(autouse=True)
def figures_closed():
    yield
    if torch := sys.modules.get("torch"):
        torch.set_default_dtype(torch.float32)  # chapter 17 asks for more digits
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        left = pyplot.get_fignums()
        pyplot.close("all")
        assert not left, f"{len(left)} figures left open: a notebook would show them once more"


@pytest.fixture
def one_thread():
    """Where cores are busy, several threads wait for one another; small networks need only one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
