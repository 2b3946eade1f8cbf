"""Record your own speech in the browser, check the recordings, and store them as a corpus folder.

    recorder()                          a button that records and offers a WAV file to save
    recording_desk(prompts, folder)     shows what to say next and stores the recording
    add_recording(folder, file, text)   stores a recording without a browser
    recording_problems(samples, rate)   checks for clipping, level, cut-off speech and noise

``load_corpus`` reads the folder, which has ``manifest.tsv`` and audio files. Nothing leaves the machine on
which the notebook's kernel runs. Lesson 13.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float

from asrlib.data.audio import read_audio
from asrlib.data.manifest import MANIFEST, check_field, manifest_lines
from asrlib.errors import InputError
from asrlib.extras import extra
from asrlib.files import write_atomically
from asrlib.signal.framing import frame

if TYPE_CHECKING:
    import ipywidgets
    from IPython.display import HTML

COLUMNS = ("path", "speaker", "seconds", "split", "text")
# every third recording belongs to the test split
TEST_EVERY = 3


def recording_problems(samples: Float[np.ndarray, " samples"], sample_rate: int) -> list[str]:
    """Return the problems of a recording as phrases; the list is empty if there are none. Lesson 13.

    ``samples`` are mono, in [-1, 1]; ``sample_rate`` is in Hz. Checks length, rate, peak, clipped samples,
    speech in the first or last 30 ms, and the level difference between the loudest and the quietest tenth
    of the 30 ms pieces.
    """
    problems = []
    if sample_rate < 8000:
        problems.append(f"only {sample_rate} samples per second: speech needs 8,000 or more")
    piece = round(0.03 * sample_rate)
    if len(samples) < 10 * piece:
        return [*problems, f"only {len(samples) / sample_rate:.2f} s long: was the button pressed twice?"]
    peak = float(np.abs(samples).max())
    if peak < 0.03:
        return [*problems, f"very quiet, its peak is {peak:.3f} of 1: is this the right microphone?"]
    clipped = float((np.abs(samples) > 0.999).mean())
    if clipped > 1e-4:
        problems.append(
            f"clipped, {clipped:.1%} of its samples are at the end of the scale: move away a little"
        )
    pieces = frame(torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)), piece, piece)
    level = 10 * torch.log10(pieces.square().mean(1) + 1e-10)
    tenth = max(1, len(level) // 10)
    ordered = level.sort().values
    loud, quiet = float(ordered[-tenth:].mean()), float(ordered[:tenth].mean())
    for where, edge in (("begins", float(level[0])), ("ends", float(level[-1]))):
        if edge > max(loud - 15, quiet + 10):  # noise alone is not speech
            problems.append(f"it {where} in the middle of speech: leave a moment of silence")
    if loud - quiet < 20:
        problems.append(f"noisy, speech is only {loud - quiet:.0f} dB above the rest: close the window")
    return problems


def add_recording(
    folder: str | os.PathLike,
    audio: bytes | str | os.PathLike,
    text: str,
    speaker: str = "me",
    split: str | None = None,
) -> Path:
    """Add a recording (a WAV, FLAC, OGG or MP3 file, or its bytes) to a corpus folder. Lesson 13.

    Without ``split``, every third recording belongs to ``test`` and the others to ``train``. Returns the
    path of the stored recording, a 16-bit mono WAV file, whose name is the first free number: no recording is
    ever replaced. Raises ``InputError`` for a text, speaker or split that is empty or has a tab or line
    break, for a folder whose manifest has other columns, and as ``read_audio`` does.
    """
    import soundfile

    text = text.strip()
    check_field(text, "text")
    check_field(speaker, "speaker")
    if split is not None:
        check_field(split, "split")
    samples, rate = decoded(audio) if isinstance(audio, bytes) else read_audio(audio)
    folder = Path(folder)
    manifest = folder / MANIFEST
    lines = manifest_lines(manifest) if manifest.exists() else ["\t".join(COLUMNS)]
    if tuple(lines[0].split("\t")) != COLUMNS:
        raise InputError(f"{manifest}: its columns are not {', '.join(COLUMNS)}; choose another folder")
    lines = [line for line in lines if line.strip()]
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="WAV", subtype="PCM_16")
    number, path = _store(folder / "audio", content.getvalue(), {line.split("\t")[0] for line in lines})
    split = split or ("test" if number % TEST_EVERY == 0 else "train")
    row = (f"audio/{path.name}", speaker, f"{len(samples) / rate:.3f}", split, text)
    try:
        write_atomically(manifest, ("\n".join([*lines, "\t".join(row)]) + "\n").encode())
    except OSError:
        path.unlink()
        raise
    return path


def decoded(audio: bytes) -> tuple[np.ndarray, int]:
    """Return samples and rate of a recording given as the content of its file. Lessons 00 and 13.

    Raises ``InputError`` if it cannot be read.
    """
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "recording").write_bytes(audio)
        return read_audio(Path(scratch) / "recording")


def on_colab(take: Callable[[bytes], None]) -> None:
    """Call ``take`` with each recording that ``recorder`` makes on Colab; do nothing elsewhere."""
    with contextlib.suppress(ImportError):
        import base64

        from google.colab import output

        output.register_callback("asrlib.recording", lambda wav: take(base64.b64decode(wav)))


def _store(folder: Path, content: bytes, listed: set[str]) -> tuple[int, Path]:
    """Write a recording under the first number that neither a file nor the manifest has; return both."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = folder / f"{number:03d}.wav"
        if f"{folder.name}/{path.name}" in listed:
            continue
        with contextlib.suppress(FileExistsError), open(path, "xb") as file:  # never overwrite
            try:
                file.write(content)
            except OSError:
                path.unlink()
                raise
            return number, path
    raise AssertionError("there is always a free number")


def recording_desk(prompts: Sequence[str], folder: str | os.PathLike, speaker: str = "me") -> ipywidgets.VBox:
    """Return a widget that shows the next prompt and stores its recording in ``folder``. Lesson 13.

    Recordings are uploaded with its button. On Colab, those of ``recorder`` are stored automatically.
    """
    with extra("lab"):
        import ipywidgets

    prompt = ipywidgets.Dropdown(options=[(f"{n}. {text}", text) for n, text in enumerate(prompts, 1)])
    prompt.description = "say"
    upload = ipywidgets.FileUpload(accept="audio/*", multiple=False, description="recording")
    message = ipywidgets.HTML()

    def take(audio: bytes) -> None:
        try:
            path = add_recording(folder, audio, prompt.value, speaker)
        except InputError as error:
            message.value = str(error)
            return
        problems = recording_problems(*read_audio(path))
        message.value = f"{path.name}: {'; '.join(problems) or 'sounds good'}"
        if prompt.index + 1 < len(prompts):
            prompt.index += 1

    def uploaded(change: Any) -> None:
        for content in uploaded_files(change["new"]):
            take(content)

    upload.observe(uploaded, names="value")
    on_colab(take)
    return ipywidgets.VBox([prompt, upload, message])


def uploaded_files(value: Any) -> list[bytes]:
    """Return the contents of the files in the value of a FileUpload widget.

    ``value`` is a tuple of files in ipywidgets 8, and a dictionary by name in ipywidgets 7 (Colab).
    """
    return [bytes(file["content"]) for file in (value.values() if isinstance(value, dict) else value)]


def recorder() -> HTML:
    """Return a button that records from the microphone and offers a WAV file to save. Lessons 00, 13."""
    with extra("lab"):
        from IPython.display import HTML

    return HTML(RECORDER.replace("NAME", f"recorder-{secrets.token_hex(4)}"))


# Browsers record compressed audio in containers that libsndfile does not support, so the browser itself
# decodes it and writes the WAV file. Its noise suppression and gain control are off because they would hide
# the room.
RECORDER = """
<div id="NAME"><button type="button">record</button> <span></span><br>
<audio controls style="display: none"></audio>
<a style="display: none" download="recording.wav">save</a></div>
<script>
(() => {
  const box = document.getElementById("NAME"), [button, message, , player, link] = box.children;
  const settings = {channelCount: 1};
  for (const name of ["echoCancellation", "noiseSuppression", "autoGainControl"]) settings[name] = false;
  let recorder = null;
  const wav = (samples, rate) => {
    const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
    const write = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
    write(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); write(8, "WAVEfmt ");
    view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
    view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true);
    view.setUint16(32, 2, true); view.setUint16(34, 16, true);
    write(36, "data"); view.setUint32(40, 2 * samples.length, true);
    samples.forEach((x, i) => view.setInt16(44 + 2 * i, 32767 * Math.max(-1, Math.min(1, x)), true));
    return view.buffer;
  };
  button.onclick = async () => {
    if (recorder && recorder.state === "recording") { recorder.stop(); return; }
    let stream;
    try { stream = await navigator.mediaDevices.getUserMedia({audio: settings}); }
    catch (error) { message.textContent = "no microphone: " + error.message; return; }
    const pieces = [];
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = event => pieces.push(event.data);
    recorder.onstop = async () => {
      stream.getTracks().forEach(track => track.stop());
      const context = new AudioContext();
      const sound = await context.decodeAudioData(await new Blob(pieces).arrayBuffer());
      context.close();
      const file = wav(sound.getChannelData(0), sound.sampleRate);
      link.href = player.src = URL.createObjectURL(new Blob([file], {type: "audio/wav"}));
      link.style.display = player.style.display = "";
      button.textContent = "record again";
      message.textContent = sound.duration.toFixed(1) + " s";
      if (window.google && google.colab && google.colab.kernel) {
        let text = "";
        new Uint8Array(file).forEach(byte => { text += String.fromCharCode(byte); });
        google.colab.kernel.invokeFunction("asrlib.recording", [btoa(text)], {});
      }
    };
    recorder.start();
    button.textContent = "stop";
    message.textContent = "recording";
  };
})();
</script>
"""
