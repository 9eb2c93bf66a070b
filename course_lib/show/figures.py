"""matplotlib figures with their sentence, so that readers, screen readers and tests get the numbers."""

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image


def show(figure: Figure, alt: str) -> None:
    """Display a figure with `alt` as its alternative text and as the sentence under it, then close it.

    Write `alt` as a finding with its rounded numbers: tests compare the sentence, not the picture itself.
    """
    if not any(c.isdigit() for c in alt):
        raise ValueError(
            f"the sentence {alt!r} holds no number: say what the figure shows, with its rounded numbers."
        )
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    plt.close(figure)
    image = base64.b64encode(file.getvalue()).decode()
    display({"image/png": image, "text/plain": alt}, raw=True, metadata={"image/png": {"alt": alt}})
    words = re.sub(r"([\\`*_$<>\[\]|~])", r"\\\1", alt)  # its own characters are no markdown
    display({"text/markdown": f"*{words}*", "text/plain": alt}, raw=True)


def png(figure: Figure) -> bytes:
    """The figure as PNG, the fast way: drawn once, its pixels without transparency, lightly compressed."""
    canvas = figure.canvas if hasattr(figure.canvas, "buffer_rgba") else FigureCanvasAgg(figure)
    canvas.draw()
    file = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(file, "png", compress_level=1)
    return file.getvalue()
