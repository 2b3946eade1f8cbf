"""Shapes in annotations are enforced while the tests run (jaxtyping + beartype)."""

import threading
from pathlib import Path

from jaxtyping import install_import_hook

ROOT = Path(__file__).parent.parent
# modules, and no packages: a package's name would take all below it along
MODULES = (path.relative_to(ROOT) for path in (ROOT / "asrlib").rglob("*.py") if path.stem != "__init__")
# Triton compiles its kernels from their source and must find them unwrapped; data/clip.py extends a dataclass
# of lhotse's, whose own annotations would be enforced with it
UNWRAPPED = {"kernels", "clip"}
CHECKED = [
    ".".join(path.with_suffix("").parts) for path in MODULES if not UNWRAPPED & {path.parent.name, path.stem}
]
install_import_hook(CHECKED, "typecheck.checked")

import published  # noqa: E402 (after the hook)
import pytest  # noqa: E402
import tiny  # noqa: E402

pytest_plugins = ["commandline"]  # its fixtures: a command line, and files that a test may spoil

# files of few tests that take long: begun last, they would leave the other process without work
SLOW = {
    "test_extending",
    "test_points",
    "test_loop",
    "test_processes",
    "test_shards",
    "test_losses",
    "test_convert",
}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in SLOW)


@pytest.fixture
def seed():
    import torch

    torch.manual_seed(1)


@pytest.fixture
def unchecked_shapes():
    """Wrong shapes reach the function itself, as they do for users, and not jaxtyping."""
    from jaxtyping import config

    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory):
    """A folder of tones with splits: 60, 6 and 12 utterances. Not to be changed: copy it."""
    return tiny.write_corpus(tmp_path_factory.mktemp("corpus") / "tones", 60, 6, 12)


@pytest.fixture(scope="session")
def tiny_shards(tiny_corpus, tmp_path_factory):
    """The tones as shards: train has 60 utterances, 8 a shard and 4 in the last, dev 6, test 12. Not to be
    changed: copy it.
    """
    from asrlib.data.corpora import load_corpus
    from asrlib.data.shar import write_shar

    folder = tmp_path_factory.mktemp("shar") / "tones"
    assert write_shar(load_corpus(tiny_corpus), folder, shard_size=8) == ["train", "dev", "test"]
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_corpus, tmp_path_factory):
    """The directory of a model that makes no errors on ``tiny_corpus``. Not to be changed: copy it."""
    from asrlib.data.corpora import load_corpus
    from asrlib.training.loop import train

    out = tmp_path_factory.mktemp("model") / "tones"
    config = tiny.config(
        max_steps=200, warmup_steps=20, batch_seconds=8, evaluate_every=50, checkpoint_every=100, log_every=20
    )
    cuts, dev = (load_corpus(tiny_corpus, split) for split in ("train", "dev"))
    with tiny.one_thread():
        train(config, cuts, out, dev, show_progress=False)
    return out


@pytest.fixture(params=["product", "convolution"])
def library(request, monkeypatch):
    """Each way in which `asrlib.models.layers.conv` multiplies matrices, whichever is faster here."""
    from asrlib import backend

    for limit in ("ONEDNN_PRODUCTS", "ONEDNN_NUMBERS"):
        monkeypatch.setattr(backend, limit, -1 if request.param == "convolution" else 1 << 60)
    return request.param


@pytest.fixture
def server():
    """A web server on this machine; what it serves is in ``files``."""
    with published.Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder for what is downloaded."""
    monkeypatch.setenv("ASRLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
