"""Wrong uses of the public names, which a type checker must find: `make lint` fails for an ignore below that
silences nothing. Never executed."""

import torch

import asrlib

config = asrlib.load_config(3)  # type: ignore[arg-type]
asrlib.build_model("contextnet-digits")  # type: ignore[arg-type]
asrlib.count_parameters(config)  # type: ignore[arg-type]
asrlib.load_corpus("digits", split=3)  # type: ignore[arg-type]
asrlib.read_audio(torch.zeros(3))  # type: ignore[arg-type]
asrlib.cut_audio()  # type: ignore[call-arg]
asrlib.clips("digits")  # type: ignore[call-arg]
asrlib.connected_digits(asrlib.clips(), speakers=1)  # type: ignore[arg-type]
asrlib.human_clips(download="yes")  # type: ignore[arg-type]
asrlib.log_mel(torch.zeros(3), "16 kHz")  # type: ignore[arg-type]
asrlib.FrontEnd(sample_rates=16000)  # type: ignore[call-arg]
asrlib.ctc_loss(torch.zeros(3, 1, 3), [[1]], (3,), (1,))  # type: ignore[arg-type]
asrlib.rnnt_loss(torch.zeros(1, 3, 2, 3), torch.ones(1, 1), (3,), (1,))  # type: ignore[arg-type]
asrlib.joint_rnnt_loss(torch.zeros(1, 3, 2), torch.zeros(1, 2, 2))  # type: ignore[call-arg]
asrlib.ctc_align(torch.zeros(3, 1, 3), "abc")  # type: ignore[arg-type]
print(asrlib.rnnt_align(torch.zeros(1, 3, 2, 3), torch.ones(1, 1)).starts)  # type: ignore[attr-defined]
asrlib.Recognizer.load(3)  # type: ignore[arg-type]
asrlib.Recognizer(config)  # type: ignore[call-arg]
print(asrlib.Recognizer.load().transcribe("a.wav").seconds)  # type: ignore[attr-defined]
asrlib.Hypothesis("text")  # type: ignore[call-arg]
asrlib.word_error_rate("a b", 3)  # type: ignore[arg-type]
print(asrlib.char_error_rate(["a"], ["a"]).per_cent)  # type: ignore[attr-defined]
asrlib.phone_error_rate(["a"])  # type: ignore[call-arg]
asrlib.Config(encoder=3)  # type: ignore[arg-type]
print(asrlib.InputError.no_such_attribute)  # type: ignore[attr-defined]
