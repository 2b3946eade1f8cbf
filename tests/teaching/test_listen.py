import base64
import io
import re

import numpy as np
import pytest
import soundfile

from asrlib.errors import InputError
from asrlib.teaching import listen


def played(shown):
    return [
        soundfile.read(io.BytesIO(base64.b64decode(data)))
        for data in re.findall(r"base64,([^\"]+)\"", shown.data)
    ]


def test_a_player_per_sound_under_its_name_at_its_rate():
    shown = listen.row(
        {"as <it> is": np.full(80, 0.5), "slow": np.zeros(40)}, {"as <it> is": 8000, "slow": 4000}
    )
    (one, rate), (two, half) = played(shown)
    assert (len(one), rate, len(two), half) == (80, 8000, 40, 4000)
    assert "as &lt;it&gt; is" in shown.data and "autoplay" not in shown.data


def test_differences_of_loudness_are_kept_even_where_the_row_is_turned_down():
    (quiet, _), (loud, _) = played(listen.row({"q": np.full(9, 0.5), "l": np.full(9, 2.0)}, 8000))
    assert quiet.max() == pytest.approx(0.25, abs=1e-3) and loud.max() == pytest.approx(1.0, abs=1e-3)


def test_level_brings_all_to_one_peak():
    (quiet, _), (loud, _) = played(
        listen.row({"q": np.full(9, 0.01), "l": np.full(9, 2.0)}, 8000, level=True)
    )
    assert quiet.max() == pytest.approx(loud.max(), abs=1e-3)


def test_what_cannot_be_played_is_refused():
    with pytest.raises(InputError, match=r"two has shape \(2, 9\)"):
        listen.row({"two": np.zeros((2, 9))}, 8000)
    with pytest.raises(InputError, match=r"none has shape \(0,\)"):
        listen.row({"none": np.zeros(0)}, 8000)
    with pytest.raises(InputError, match="hold 800 kB, above 600"):
        listen.row({"long": np.zeros(400_000)}, 16000)
