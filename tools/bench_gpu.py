"""Test and benchmark asrlib on this GPU: one report in under five minutes.

    make bench-gpu                                   write docs/gpu-run.md
    python tools/bench_gpu.py --out results.md       write another file
    python tools/bench_gpu.py --only steps losses    some of: tests steps loop losses joint decoding features
    python tools/bench_gpu.py --quick                toy shapes, also on a CPU, to check that everything runs

The report covers a bf16 training step of ContextNet-S on 64 × 12.3 s with 60 labels out of 1000, from
waveforms in host memory to the optimizer, in several variants; the same in the loop of `asrlib train`; losses
compared with torchaudio and PyTorch; searches; features; and all tests that need a GPU. A section that fails
is reported in one line, and the others continue.
"""

import argparse
import contextlib
import functools
import gc
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
import wave
from pathlib import Path
from types import SimpleNamespace

try:
    import torch
    from accelerate import Accelerator

    from asrlib.bench.losses import bench_losses
    from asrlib.config.parse import load_config, override
    from asrlib.data.batches import Batch
    from asrlib.decoding.beam import BeamOptions, beam_rnnt
    from asrlib.decoding.greedy import greedy_rnnt
    from asrlib.losses.joint import joint_rnnt_loss
    from asrlib.models import contextnet
    from asrlib.models.build import build_model
    from asrlib.signal.augment_policy import augmented_features
    from asrlib.signal.features import FrontEnd
    from asrlib.training.capture import CapturedStep
    from asrlib.training.step import TrainingStep, adam
except ImportError as error:
    sys.exit(f'bench_gpu: {error}; install asrlib and its dependencies first (pip install -e ".[lab,test]")')

ROOT = Path(__file__).parent.parent
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# batch: utterances, seconds, labels; measured steps; utterances of the corpus; joint: B, T, U, V, D
FULL = SimpleNamespace(
    B=64, seconds=12.3, U=60, steps=8, loop_steps=24, corpus=256, joint=(64, 154, 60, 1000, 640)
)
TOY = SimpleNamespace(B=2, seconds=1.0, U=4, steps=2, loop_steps=3, corpus=8, joint=(2, 9, 4, 50, 16))
SMALL = ["encoder.alpha=0.1", "prediction.units=32", "joint.dim=32", "tokenizer.vocabulary=50"]
# time limit of the tests, in seconds
TESTS_S = 150


def median_ms(function, repeats=8, warm_up=3):
    """Return the median duration of ``function`` in milliseconds, on host and device together."""
    times = []
    for _ in range(warm_up + repeats):
        synchronize()
        start = time.perf_counter()
        function()
        synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[warm_up:])


def synchronize():
    """Wait for the GPU, if there is one."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def peak_mb():
    """Return the peak GPU memory in MiB as text."""
    return f"{torch.cuda.max_memory_reserved() / 2**20:.0f}" if DEVICE.type == "cuda" else "-"


def settings(shape):
    """Return the configuration of the benchmark."""
    config = override(load_config("contextnet-s"), SMALL if shape is TOY else [])
    return override(config, [] if DEVICE.type == "cpu" else ["training.precision=bf16"])


def host_batch(config, shape):
    """Return a batch of noise and random labels in host memory."""
    draw = torch.Generator().manual_seed(0)
    samples = round(shape.seconds * config.features.sample_rate)
    waveforms = 0.1 * torch.randn(shape.B, samples, generator=draw)
    targets = torch.randint(1, config.tokenizer.vocabulary, (shape.B, shape.U), generator=draw)
    lengths, counts = (torch.full((shape.B,), n) for n in (samples, shape.U))
    return Batch([str(b) for b in range(shape.B)], waveforms, lengths, targets, counts)


# ---- sections: each yields the lines of its table ----


def steps(shape):
    """Training steps, from waveforms on the host to the optimizer."""
    yield "| step | ms | utterances/s | peak MB | losses of the first and last step |"
    yield "|---|---:|---:|---:|---|"
    config = settings(shape)
    batch = host_batch(config, shape)
    accelerator = Accelerator(mixed_precision=config.training.precision, cpu=DEVICE.type == "cpu")
    for name, kind, fused in (
        ("PyTorch's operations in the encoder", TrainingStep, False),
        ("kernels in the encoder", TrainingStep, True),
        ("captured, PyTorch's operations in the encoder", CapturedStep, False),
        ("captured, kernels in the encoder", CapturedStep, True),
    ):
        with plain_encoder(not fused):
            yield from one_way(name, kind, config, accelerator, batch, shape)
        accelerator.free_memory()
        gc.collect()


def one_way(name, kind, config, accelerator, batch, shape):
    """Yield the lines for one kind of step, and free its memory."""
    if DEVICE.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    torch.manual_seed(0)
    model = build_model(config).to(DEVICE)
    model, optimizer = accelerator.prepare(model, adam(model, config.training))
    step, outcomes = kind(config, accelerator, model, optimizer, None, 10**6), []

    def run():
        number = len(outcomes)
        outcomes.append(step(batch, torch.Generator().manual_seed(number), number + 1000))

    ms = median_ms(run, shape.steps)
    first, last = (float(outcome.loss) for outcome in (outcomes[0], outcomes[-1]))
    yield f"| {name} | {ms:.1f} | {1e3 * shape.B / ms:.0f} | {peak_mb()} | {first:.2f}, {last:.2f} |"
    yield from busy(run)


def busy(run):
    """Yield a line with the number of GPU kernels in a step, and their total time."""
    if DEVICE.type == "cpu":
        return
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        run()
        torch.cuda.synchronize()
    kernels = [e for e in profiled.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    ms = sum(event.self_device_time_total for event in kernels) / 1e3
    yield f"| … the GPU's part, {len(kernels)} kernels and copies | {ms:.1f} | | | |"


@contextlib.contextmanager
def plain_encoder(plain):
    """Run the encoder with PyTorch's operations within the block if ``plain``, even where kernels exist."""
    can_fuse = contextnet.can_fuse
    if plain:
        contextnet.can_fuse = lambda *_: False
    try:
        yield
    finally:
        contextnet.can_fuse = can_fuse


def loop(shape):
    """The last steps of `asrlib train`, which reads batches from a corpus ahead of time."""
    from asrlib.data.corpora import load_corpus
    from asrlib.training.loop import train

    yield "| `asrlib train` | utterances/s | loss |"
    yield "|---|---:|---:|"
    with tempfile.TemporaryDirectory() as folder:
        corpus = write_noise(Path(folder) / "noise", shape)
        for capture in "off", "auto":
            config = override(
                settings(shape),
                [
                    "tokenizer.kind=words",
                    f"training.capture={capture}",
                    f"training.batch_utterances={shape.B}",
                    f"training.max_steps={shape.loop_steps}",
                    f"training.log_every={shape.loop_steps // 3}",
                    "training.workers=8",
                    "training.evaluate_every=1000000",
                    "training.checkpoint_every=1000000",
                ],
            )
            out = Path(folder) / capture
            train(config, load_corpus(corpus, "train"), out, show_progress=False)
            point = json.loads((out / "metrics.json").read_text())["history"][-1]
            speed, loss = point["utterances_per_second"], point["loss"]
            yield f"| `training.capture={capture}` | {speed:.0f} | {loss:.2f} |"


def write_noise(folder, shape):
    """Write a corpus folder of noise with random words, and return it."""
    folder.mkdir()
    rate, draw = 16000, random.Random(0)
    noise = (3000 * torch.randn(rate * 60)).to(torch.int16).numpy()
    rows = ["path\tspeaker\tseconds\ttext\tsplit"]
    for number in range(shape.corpus):
        seconds = shape.seconds * (1 - 0.002 * (number % 50))
        start = draw.randrange(rate * 40)
        with wave.open(str(folder / f"{number}.wav"), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(noise[start : start + int(rate * seconds)].tobytes())
        words = " ".join(f"w{draw.randrange(999):03}".translate(LETTERS) for _ in range(shape.U))
        rows.append(f"{number}.wav\tnobody\t{int(rate * seconds) / rate:.4f}\t{words}\ttrain")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder


LETTERS = str.maketrans("0123456789", "abcdefghij")


def losses(shape):
    """Losses compared with torchaudio and PyTorch, forward and backward, float32."""
    yield "| loss | | ms | faster | peak MB | loss err | grad err |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    with contextlib.redirect_stdout(sys.stderr):
        rows = bench_losses(repeats=3, device=DEVICE.type, quick=shape is TOY)
    for name, group in itertools.groupby(rows, key=lambda row: row.shape):
        group = list(group)
        for row in group:
            cells = [f"{1e3 * row.seconds:.2f}", f"{group[0].seconds / row.seconds:.1f} ×"]
            cells += ["-" if row.megabytes is None else f"{row.megabytes:.0f}"]
            cells += ["-" if e is None else f"{e:.0e}" for e in (row.loss_error, row.gradient_error)]
            yield f"| {name} | {row.name} | {' | '.join(cells)} |"


def joint(shape):
    """Joint network and transducer loss with the shape of the step, in bf16 on a GPU."""
    B, T, U, V, D = shape.joint
    draw = functools.partial(torch.randn, device=DEVICE)
    parts = [draw(B, T, D), draw(B, U + 1, D), 0.04 * draw(V, D), torch.zeros(V, device=DEVICE)]
    if DEVICE.type == "cuda":
        parts[:2] = [part.bfloat16() for part in parts[:2]]
    parts = [part.requires_grad_() for part in parts]
    targets = torch.randint(1, V, (B, U), device=DEVICE)
    lengths = [torch.full((B,), n, device=DEVICE) for n in (T, U)]

    def run():
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
            loss = joint_rnnt_loss(*parts, targets, *lengths, reduction="sum")
        torch.autograd.grad(loss, parts)

    yield "| joint and loss (B, T, U, V, D) | ms |"
    yield "|---|---:|"
    yield f"| {shape.joint} | {median_ms(run, 5):.1f} |"


@torch.no_grad()
def decoding(shape):
    """Searches on random encoder output; the bias of blank is set to find about U labels."""
    config = settings(shape)
    torch.manual_seed(0)
    model = build_model(config).to(DEVICE).eval()
    reduction = model.encoder.reduction
    frames = round(100 * shape.seconds / reduction)
    encoded = torch.randn(shape.B, frames, model.encoder.dim, device=DEVICE)
    lengths = torch.full((shape.B,), frames, device=DEVICE)
    model.joint.encoder_linear.weight.mul_(10)
    model.joint.output.weight.mul_(8)
    low, high = 0.0, 60.0
    for _ in range(8):
        model.joint.output.bias[model.blank] = (low + high) / 2
        found = greedy_rnnt(model, encoded[:2], lengths[:2], 5)
        many = sum(len(result.labels) for result in found) > 2 * shape.U
        low, high = ((low + high) / 2, high) if many else (low, (low + high) / 2)
    yield f"| search, {shape.B} × {shape.seconds} s | ms | seconds per second of speech |"
    yield "|---|---:|---:|"
    for name, search in {
        "greedy_rnnt": lambda: greedy_rnnt(model, encoded, lengths, 5),
        "greedy_rnnt, one utterance": lambda: greedy_rnnt(model, encoded[:1], lengths[:1], 5),
        "beam_rnnt, beam 5": lambda: beam_rnnt(model, encoded, lengths, BeamOptions(beam_width=5)),
    }.items():
        ms = median_ms(search, 3, 1)
        speech = shape.seconds * (1 if "one" in name else shape.B)
        yield f"| `{name}` | {ms:.0f} | {ms / 1e3 / speech:.5f} |"


@torch.no_grad()
def features(shape):
    """Log-mel features and SpecAugment, from waveforms on the device."""
    config = settings(shape)
    front_end, batch = FrontEnd(**vars(config.features)).to(DEVICE), host_batch(config, shape)
    waveforms, lengths = batch.waveforms.to(DEVICE), batch.lengths.to(DEVICE)
    draw = torch.Generator()
    yield f"| features, {shape.B} × {shape.seconds} s | ms |"
    yield "|---|---:|"
    yield f"| log-mel | {median_ms(lambda: front_end(waveforms, lengths)):.2f} |"
    ms = median_ms(lambda: augmented_features(waveforms, lengths, front_end, config.augment, draw))
    yield f"| log-mel and SpecAugment | {ms:.2f} |"


def tests(shape):
    """The tests that compare kernels and captured steps with references."""
    if shape is TOY:
        return
    where = [str(ROOT / "tests" / name) for name in ("models", "losses", "training/test_capture.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *where]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TESTS_S)
        lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines()
    except subprocess.TimeoutExpired as expired:
        lines = [*(expired.stdout or b"").decode().strip().splitlines(), f"ended after {TESTS_S} s"]
    yield from (f"    {line}" for line in lines if line.startswith("FAILED"))
    yield f"Tests on the GPU: {lines[-1].strip('= ')}"


SECTIONS = {f.__name__: f for f in (steps, loop, losses, joint, decoding, features, tests)}


def main():
    """Run the chosen sections and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "gpu-run.md")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if DEVICE.type == "cpu" and not options.quick:
        sys.exit("bench_gpu: there is no CUDA device; use --quick to run toy shapes on the CPU")
    warnings.simplefilter("ignore")
    where = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "CPU"
    lines = [f"# Speed on a GPU\n\n`make bench-gpu`, one run: {where}, torch {torch.__version__}."]
    for name in options.only:
        section, start = SECTIONS[name], time.perf_counter()
        lines.append(f"\n{section.__doc__.splitlines()[0]}\n")
        print(lines[-1], flush=True)
        try:
            for line in section(TOY if options.quick else FULL):
                lines.append(line)
                print(line, flush=True)
        except Exception as error:
            lines.append(f"\nFAILED: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            print(lines[-1], flush=True)
        print(f"({name}: {time.perf_counter() - start:.0f} s)", flush=True)
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
