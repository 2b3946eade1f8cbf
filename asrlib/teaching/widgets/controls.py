"""The pattern of all widgets: controls above a picture that a plain drawing function fills.

    explorer([slider("frame t", 0, 0, 9), choice("padding", ["same", "causal"])], draw)

calls ``draw(frame, padding)`` at first and whenever a control changes, and shows the figure that it
returns. An error in ``draw`` is not caught: the notebook shows it below the widget.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from asrlib.extras import extra

if TYPE_CHECKING:
    import ipywidgets
    from matplotlib.figure import Figure


def explorer(
    controls: Sequence[ipywidgets.Widget],
    draw: Callable[..., Figure | None],
    above: Sequence[ipywidgets.Widget] = (),
    below: Sequence[ipywidgets.Widget] = (),
) -> ipywidgets.VBox:
    """Return the controls over the picture of ``draw(*values)``, drawn again when a control changes.

    Where ``draw`` returns None the old picture stays. The widgets of ``above`` and ``below`` stand above
    and below the picture; ``draw`` sets what they show.
    """
    with extra("lab"):
        import ipywidgets

    picture, redraw = redrawn_picture(lambda: draw(*(control.value for control in controls)))
    for control in controls:
        control.observe(lambda change: redraw(), names="value")
    return ipywidgets.VBox([*controls, *above, picture, *below])


def redrawn_picture(draw: Callable[[], Figure | None]) -> tuple[ipywidgets.Image, Callable[[], None]]:
    """Return an image of ``draw()`` and the function that draws it again (None: the old one stays)."""
    with extra("lab"):
        import ipywidgets

    picture = ipywidgets.Image(format="png")

    def redraw() -> None:
        figure = draw()
        if figure is not None:
            picture.value = png(figure)

    redraw()
    return picture, redraw


def stepper(draw: Callable[[int], Figure], count: int, name: str = "step") -> ipywidgets.VBox:
    """Return a slider over the pictures ``draw(0)`` to ``draw(count - 1)``. Lessons 06, 07, 08."""
    return explorer([slider(name, 0, 0, count - 1)], draw)


def slider(
    name: str, value: float, low: float, high: float, step: float = 1, name_width: str | None = None
) -> ipywidgets.IntSlider | ipywidgets.FloatSlider:
    """Return a slider that reports where it is released, of integers if all its numbers are.

    ``name_width`` is a CSS length, for a name that would be cut off.
    """
    with extra("lab"):
        import ipywidgets

    whole = all(isinstance(number, int) for number in (value, low, high, step))
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    style = {} if name_width is None else {"style": {"description_width": name_width}}
    return kind(value, min=low, max=high, step=step, description=name, continuous_update=False, **style)


def choice(name: str, options: Sequence[str]) -> ipywidgets.ToggleButtons:
    """Return buttons for one of a few options, the first at the beginning; name and buttons in one line."""
    with extra("lab"):
        import ipywidgets

    return ipywidgets.ToggleButtons(
        options=options,
        description=name,
        style={"description_width": "90px"},
        layout={"display": "flex", "width": "max-content"},
    )


def player() -> ipywidgets.Audio:
    """Return an audio player that waits for the button; its ``value`` takes the bytes of ``wav``."""
    with extra("lab"):
        import ipywidgets

    return ipywidgets.Audio(format="wav", autoplay=False, loop=False)


def png(figure: Figure) -> bytes:
    """Return a figure as PNG, and close it: inside a widget nothing else would."""
    with extra("lab"):
        import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    plt.close(figure)
    return buffer.getvalue()


def wav(samples: Any, sample_rate: int) -> bytes:
    """Return samples in [-1, 1] as a 16-bit WAV file, scaled down where they exceed that."""
    import soundfile

    samples = np.asarray(samples)
    buffer = io.BytesIO()
    soundfile.write(
        buffer, samples / max(1.0, np.abs(samples).max()), sample_rate, format="WAV", subtype="PCM_16"
    )
    return buffer.getvalue()
