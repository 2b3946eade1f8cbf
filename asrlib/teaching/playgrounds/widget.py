"""A playground in a notebook: what is moved in it can be read in the next cell."""

from __future__ import annotations

import copy
import functools
import json
from typing import TYPE_CHECKING, Any

from asrlib.errors import InputError, first_line
from asrlib.extras import extra
from asrlib.teaching.playgrounds.scripts import bundle

if TYPE_CHECKING:
    import anywidget


class Playground:
    """A playground, which a notebook shows and whose ``value`` cells read and set.

    ``name`` is one of ``scripts.NAMES``, ``options`` are those that its page takes. ``widget`` is the widget
    inside, for layouts of ipywidgets.
    """

    def __init__(self, name: str, options: dict[str, Any]):
        self.name, self.options = name, options
        self.widget = _kind(name)(
            options=options, value=copy.deepcopy(options["value"]), sound=options.get("sound", {})
        )

    @property
    def value(self) -> dict[str, Any]:
        """Return what the playground shows, as plain numbers and text. A value that is set is shown."""
        return copy.deepcopy(self.widget.value)

    @value.setter
    def value(self, value: dict[str, Any]) -> None:
        """Show what is given; keys that are left out keep their values.

        Raises ``InputError`` for keys that there are not, and for what the page cannot show.
        """
        unknown = sorted(value.keys() - self.widget.value.keys())
        if unknown:
            raise InputError(f"value has no {unknown[0]!r}; it has {', '.join(self.widget.value)}")
        try:
            given = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            reason = first_line(error)
            raise InputError(f"value takes text and finite numbers, such as y.tolist() ({reason})") from None
        self.widget.value = self._shown({**self.widget.value, **given})

    def _shown(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return a value as the page will show it. Raises ``InputError`` if the page cannot."""
        return value

    def __repr__(self) -> str:
        # the same in every run: notebooks store it, and show it until they are run
        return f"{type(self).__name__}: run this cell to move it"

    def _repr_mimebundle_(self, **formats: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = self.widget._repr_mimebundle_(**formats)
        return {**data, "text/plain": repr(self)}, metadata


@functools.cache
def _kind(name: str) -> type[anywidget.AnyWidget]:
    """Return the class of a playground's widgets."""
    with extra("lab"):
        import anywidget
        import traitlets

    class Widget(anywidget.AnyWidget):
        _esm = bundle(name)
        options = traitlets.Dict().tag(sync=True)
        value = traitlets.Dict().tag(sync=True)
        sound = traitlets.Dict().tag(sync=True)

    return Widget
