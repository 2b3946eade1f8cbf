"""The playgrounds' colors: readable, light and dark, and apart for color-blind readers."""

import itertools
import re
from importlib import resources

import numpy as np
import pytest
from javascript import ENGINES, evaluate

from asrlib.teaching import playgrounds

# Okabe and Ito 2008
PALETTE = {"#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"}
# Machado et al. 2009, severity 1, for linear RGB
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900],
    ],
}  # fmt: skip


def themes():
    style = (resources.files(playgrounds) / "theme.mjs").read_text(encoding="utf-8")
    light, dark, *_ = re.findall(r"\{([^{}]*--ink[^{}]*)\}", style)
    return {
        name: dict(re.findall(r"--(\w+): (#\w{6});", text))
        for name, text in (("light", light), ("dark", dark))
    }


def linear(color):
    values = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """As in WCAG 2.2."""
    lighter, darker = sorted(
        (linear(color) @ [0.2126, 0.7152, 0.0722] for color in (one, other)), reverse=True
    )
    return (lighter + 0.05) / (darker + 0.05)


def lab(rgb):
    """CIE Lab, D65, of linear RGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.clip(to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089], 1e-6, None))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_marks_stand_out_from_the_panel(theme):
    colors = themes()[theme]
    assert all(contrast(colors[name], colors["panel"]) >= 4.5 for name in ("ink", "muted"))
    assert all(contrast(colors[name], colors["panel"]) >= 3 for name in ("k0", "k1", "k2", "k3", "mark"))


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_labels_colors_stay_apart(theme, blindness):
    colors = themes()[theme]
    labels = [colors[f"k{k}"] for k in range(1, 7)]
    assert set(labels) <= PALETTE and len(set(labels)) == 6
    seen = [lab(np.array(BLINDNESS[blindness]) @ linear(colors[f"k{k}"])) for k in range(4)]  # ∅abc
    apart = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)]
    assert min(apart) > 15, apart


@pytest.mark.parametrize("engine", ENGINES)
def test_viridis_is_matplotlibs(engine, tmp_path):
    matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")
    places = np.linspace(-0.1, 1.1, 241).tolist()
    found = evaluate(engine, "spectrogram", "given.map(viridis)", places, tmp_path)
    wanted = matplotlib.colormaps["viridis"](np.clip(places, 0, 1))[:, :3] * 255
    assert np.abs(np.array(found) - wanted).max() < 5  # of 255
