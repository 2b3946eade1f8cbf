"""Rotary and Fourier positions against hand computations."""

import math

import pytest
import torch

from asrlib.models.layers.positions import FourierPositions, rotary_table, rotate


def test_rotary_angles_by_hand():
    cosine, sine = rotary_table(3, 4, base=100.0)
    # pairs 0 and 1 of four channels: inverse frequencies 100^0 = 1 and 100^(-1/2) = 1/10
    angles = torch.tensor([[0.0, 0.0], [1.0, 0.1], [2.0, 0.2]])
    torch.testing.assert_close(cosine, angles.cos())
    torch.testing.assert_close(sine, angles.sin())


def test_interpolation_divides_positions():
    table, interpolated = rotary_table(5, 6, 1000.0), rotary_table(9, 6, 1000.0, interpolation=2.0)
    for whole, halved in zip(table, interpolated, strict=True):
        torch.testing.assert_close(halved[::2], whole)


def test_halves_are_rotated_and_not_neighbors():
    cosine, sine = (
        torch.tensor([[math.cos(0.3), math.cos(0.7)]]),
        torch.tensor([[math.sin(0.3), math.sin(0.7)]]),
    )
    x = torch.tensor([[1.0, 0.0, 0.0, 2.0]])  # pairs (1, 0) and (0, 2)
    by_hand = torch.tensor([[math.cos(0.3), -2 * math.sin(0.7), math.sin(0.3), 2 * math.cos(0.7)]])
    torch.testing.assert_close(rotate(x, cosine, sine), by_hand)


def test_products_depend_on_the_distance_alone():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 8).double().expand(2, 40, 8).float()
    table = rotary_table(40, 8, 10000.0)
    scores = rotate(q, *table) @ rotate(k, *table).T
    for distance in (-7, 0, 3):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=1e-5)
    assert scores.diagonal(3)[0] != pytest.approx(float(scores.diagonal(0)[0]), abs=1e-3)


def test_late_frames_are_as_exact_as_early_ones():
    frame, base = 45000, 1.5e6  # an hour at 80 ms
    cosine, _ = rotary_table(frame + 1, 128, base)
    exact = [math.cos(frame * base ** (-2 * i / 128)) for i in range(64)]
    torch.testing.assert_close(cosine[-1], torch.tensor(exact), atol=1e-6, rtol=0)


def test_fourier_positions_by_hand():
    positions = FourierPositions(4)
    with torch.no_grad():
        positions.frequencies.copy_(torch.tensor([0.5, 2.0]))
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    rows = [[math.cos(0.5 * t), math.cos(2 * t), math.sin(0.5 * t), math.sin(2 * t)] for t in range(3)]
    torch.testing.assert_close(positions(x), x + torch.tensor(rows) / 2)
    assert positions.frequencies.requires_grad
