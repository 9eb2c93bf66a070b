"""What every test leaves behind: no open figure, which the next one would find."""

import sys

import pytest


@pytest.fixture(autouse=True)
def figures_closed():
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        left = pyplot.get_fignums()
        pyplot.close("all")
        assert not left, f"{len(left)} figures left open: a notebook would show them once more"
