import matplotlib.pyplot
import pytest

from asrlib.teaching import widgets
from asrlib.teaching.widgets.controls import choice, explorer, slider


def test_stepper_draws_each_step_and_lets_errors_out():
    drawn = []

    def draw(step):
        drawn.append(step)
        return matplotlib.pyplot.figure(figsize=(1, 1))

    open_before = matplotlib.pyplot.get_fignums()
    slider, _ = widgets.stepper(draw, 4).children
    for step in range(slider.min, slider.max + 1):
        slider.value = step
    assert drawn == [0, 1, 2, 3]
    assert matplotlib.pyplot.get_fignums() == open_before

    with pytest.raises(ZeroDivisionError):
        widgets.stepper(lambda step: 1 // 0, 2)


def test_an_explorer_draws_its_controls_values_and_keeps_the_picture_where_there_is_none():
    drawn = []

    def draw(number, name):
        drawn.append((number, name))
        return matplotlib.pyplot.figure(figsize=(1 + number, 1)) if name == "a" else None

    controls = [slider("number", 0, 0, 3), choice("name", ["a", "b"])]
    box = explorer(controls, draw)
    assert box.children[:2] == tuple(controls)
    first = bytes(box.children[2].value)
    controls[0].value = 2
    second = bytes(box.children[2].value)
    controls[1].value = "b"
    assert drawn == [(0, "a"), (2, "a"), (2, "b")]
    assert first != second == bytes(box.children[2].value)


def test_an_error_while_a_control_moves_is_not_swallowed():
    def draw(number):
        if number:
            raise ZeroDivisionError
        return matplotlib.pyplot.figure(figsize=(1, 1))

    control = slider("number", 0, 0, 3)
    explorer([control], draw)
    with pytest.raises(ZeroDivisionError):
        control.value = 1


def test_a_slider_of_integers_gives_integers():
    assert type(slider("n", 1, 0, 3).value) is int
    assert type(slider("x", 1, 0, 3, 0.5).value) is float
