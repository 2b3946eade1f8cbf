"""Sound files made in memory, whole and with the oddities that files from elsewhere have."""

import io

import numpy as np
import soundfile

MODES = ("CONSTANT", "AVERAGE", "VARIABLE")


def speechlike(seconds, rate=16_000, channels=1, seed=0):
    """Return bursts of tone and noise between silences, so that a variable bit rate varies."""
    draw, time = np.random.default_rng(seed), np.arange(int(seconds * rate)) / rate
    loud = np.sin(2 * np.pi * 0.8 * time + seed) > 0
    wave = loud * (0.3 * np.sin(2 * np.pi * 440 * time) + 0.05 * draw.standard_normal(len(time)))
    return wave if channels == 1 else np.stack([wave * (1 - 0.2 * c) for c in range(channels)], axis=1)


def encoded(samples, rate=16_000, **kind):
    """Return the bytes of a file; ``format``, ``subtype`` and so on are those of `soundfile.write`."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **kind)
    return file.getvalue()


def mp3(samples, rate=16_000, mode="VARIABLE"):
    return encoded(samples, rate, format="MP3", bitrate_mode=mode, compression_level=0.5)


def xing(data):
    """Return where the Xing header of an MP3 file is; its frame is the first of the file."""
    return max(data[:200].find(b"Xing"), data[:200].find(b"Info"))


def frames_said(data):
    """Return how many frames an MP3 file's encoder counted."""
    return int.from_bytes(data[xing(data) + 8 : xing(data) + 12], "big")


def without_xing(data):
    """Return an MP3 file without the frame of its Xing header, the first one."""
    bit_rates = {3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)}
    low = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    rates = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
    version = data[1] >> 3 & 3
    rate = rates[version][data[2] >> 2 & 3]
    size = (144 if version == 3 else 72) * 1000 * bit_rates.get(version, low)[data[2] >> 4] // rate
    return data[size + (data[2] >> 1 & 1) :]


def id3v2(size=1000):
    """Return a tag of 10 + ``size`` bytes, with what looks like frames in it."""
    length = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return (
        b"ID3\x04\0\0"
        + length
        + (b"\xff\xfb\x90\x64" + bytes(250))[:size] * (size // 254)
        + bytes(size % 254)
    )


def id3v1():
    return b"TAG" + b"a title".ljust(125, b"\0")


def decoded(data):
    """Return what libsndfile decodes of a file in one piece: float32 (samples, channels)."""
    return soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)[0]
