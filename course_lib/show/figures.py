"""matplotlib figures with their sentence: `show` displays one so that readers, screen readers and tests get the numbers."""

import base64
import io

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure


def show(figure: Figure, alt: str) -> None:
    """Display a figure with `alt` as its alternative text and as the sentence under it, then close it.

    Write `alt` as a finding with its rounded numbers: the picture itself cannot be compared by a test, the sentence is.
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
    display({"text/markdown": f"*{alt}*", "text/plain": alt}, raw=True)
