"""Playgrounds that move under the mouse: CTC, the transducer, the spectrogram. Lessons 01, 06 and 07.

Their JavaScript computes everything in the page, so they need no kernel. Each ``NAME.mjs`` exports

    mount(element, options, {onChange(value), onSound(sound)})  ->  {value, set({value, sound}), destroy()}

and imports only its neighbors in this folder. There are three ways to use one:

- in a notebook, ``play = ctc_playground(...)`` shows it, and ``play.value`` is what it shows by then;
- in a page of one's own that is served over HTTP, with the files of this folder beside it:
  ``import {mount} from "./ctc.mjs"``, then ``mount(element, options)``, where ``options`` is the JSON of
  ``ctc_options(...)``, ``transducer_options(...)`` or ``spectrogram_options(...)``;
- ``page(name, options)`` is a whole HTML file, which also works without a server. ``bundle(name)`` is the
  module with all that it imports, as one text.

What is computed agrees with asrlib to 1e-6; the tests run both. Every control can be reached with Tab and
moved with the arrow keys.
"""

from asrlib.teaching.playgrounds.ctc import ctc_options, ctc_playground
from asrlib.teaching.playgrounds.scripts import NAMES, bundle, page
from asrlib.teaching.playgrounds.spectrogram import spectrogram_options, spectrogram_playground
from asrlib.teaching.playgrounds.transducer import transducer_options, transducer_playground

__all__ = [
    "NAMES",
    "bundle",
    "ctc_options",
    "ctc_playground",
    "page",
    "spectrogram_options",
    "spectrogram_playground",
    "transducer_options",
    "transducer_playground",
]
