"""Plausible wrong answers to assignment 01; the form is that of ``lesson06``."""

# ruff: noqa: E501 (an answer a line)
WRONG = [
    ("01.frame", "1 + (len(signal) - window) // hop", "(len(signal) - window) // hop", "last piece that still fits"),
    ("01.frame", "1 + (len(signal) - window) // hop", "len(signal) // window", "too few: pieces begin"),
    ("01.frame", "t * hop : t * hop + window", "t * window : t * window + window", "begins at sample t · hop"),
    ("01.frame", "torch.stack([signal[t * hop : t * hop + window] for t in range(T)])", "signal.unfold(0, hop, window)", "window and hop are exchanged"),
    ("01.frame", "range(T)])", "range(T)], 1)", "one piece a column"),
    ("01.hann", "n / size", "n / (size - 1)", "symmetric window"),
    ("01.hann", "0.5 - 0.5 *", "0.54 - 0.46 *", "Hamming"),
    ("01.hann", "0.5 - 0.5", "0.5 + 0.5", "turned over"),
    ("01.hann", "2 * math.pi", "math.pi", "angle is half"),
    ("01.power_spectrum", "real**2 + imaginary**2", "(real**2 + imaginary**2).sqrt()", "the magnitude"),
    ("01.power_spectrum", "real**2 + imaginary**2", "real**2", "sines are missing"),
    ("01.power_spectrum", "real**2 + imaginary**2", "(real + imaginary)**2", "each is squared first"),
    ("01.power_spectrum", "fft_size // 2 + 1", "fft_size // 2", "last bin"),
    ("01.power_spectrum", "k / fft_size", "k / frames.shape[1]", "not the window's length"),
    ("01.power_spectrum", "fft_size // 2 + 1", "fft_size", "all K bins"),
    ("01.mel_filters", "700 * (10 ** (torch.linspace(0, top, mels + 2, dtype=torch.float64) / 2595) - 1)", "torch.linspace(0, sample_rate / 2, mels + 2, dtype=torch.float64)", "evenly spaced in Hz"),
    ("01.mel_filters", ".clamp(min=0)", "", "not cut off at 0"),
    ("01.mel_filters", "return torch.minimum(rise, fall).clamp(min=0)", "x = torch.minimum(rise, fall).clamp(min=0)\n    return x / x.sum(0)", "divided by its sum"),
    ("01.mel_filters", "return torch.minimum(rise, fall).clamp(min=0)", "return torch.minimum(rise, fall).clamp(min=0).T", "one filter a row"),
    ("01.mel_filters", "sample_rate / 2 / 700", "sample_rate / 700", "half of it is the highest"),
    ("01.mel_filters", "2595 * math.log10", "2595 * math.log", "another base"),
    ("01.normalise", "log_mel.mean(0)) / (log_mel.std(0, correction=0)", "log_mel.mean()) / (log_mel.std(correction=0)", "each bin has its own"),
    ("01.normalise", "log_mel.mean(0)) / (log_mel.std(0, correction=0)", "log_mel.mean(1, keepdim=True)) / (log_mel.std(1, correction=0, keepdim=True)", "the other axis"),
    ("01.normalise", "std(0, correction=0)", "var(0, correction=0)", "by the variance"),
    ("01.normalise", "std(0, correction=0)", "std(0)", "over T - 1"),
    ("01.normalise", " / (log_mel.std(0, correction=0) + 1e-3)", "", "nothing is divided"),
    ("01.pitch", ".sum())", ".mean())", "take the sum"),
    ("01.pitch", "rate / shifts[match.index(max(match))]", "shifts[match.index(max(match))]", "the shift in samples"),
    ("01.pitch", "max(match)", "min(match)", "matches itself worst"),
    ("01.pitch", "round(rate / 80) + 1", "round(rate / 80)", "longest shift"),
    ("01.pitch", None, '''
def pitch(signal, rate):
    spectrum = torch.fft.rfft(signal).abs()
    spectrum[0] = 0
    return float(spectrum.argmax()) * rate / len(signal)
''', "bins are rate / N apart"),
]  # fmt: skip
