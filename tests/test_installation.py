"""asrlib as others install it: a wheel in a folder of its own, and an editable installation.

Both stand beside this environment's libraries, whose own asrlib, installed or not, they must not find.
"""

import os
import shutil
import subprocess
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import tiny
import yaml
from commandline import one_line

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
CLIP, WORDS = "clips/audio/digits-1.flac", "seven three nine"


class Installation:
    """An interpreter with an asrlib, and the folder ``home`` that this asrlib lies in."""

    def __init__(self, python, home, path, folder):
        self.python, self.home, self.folder = python, home, folder
        self.environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "ASRLIB_DATA")}
        self.environment |= {"PYTHONPATH": path, "ASRLIB_CACHE": str(folder), "OMP_NUM_THREADS": "1"}

    def run(self, *words):
        command = [self.python, *map(str, words)]
        pipes = dict(capture_output=True, text=True, timeout=600)
        return subprocess.run(command, cwd=self.folder, env=self.environment, **pipes)

    def prints(self, *words):
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def asrlib(self, *words):
        """What the command line prints."""
        return self.prints("-m", "asrlib.cli", *words)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The files of this checkout, as a clone has them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    tree = tmp_path_factory.mktemp("clone") / "asrlib-course"
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    return tree


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """``empty(name)``: a new interpreter with the libraries of this one, but no asrlib."""

    def make(name):
        folder = tmp_path_factory.mktemp(name) / "environment"
        venv.create(folder)
        python = folder / "bin" / "python"
        where = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True)
        # a path named in a .pth file is searched, but its own .pth files, such as asrlib's, are not read
        Path(site.stdout.strip(), "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
        return python

    return make


@pytest.fixture(scope="module")
def wheel(tree, empty, tmp_path_factory):
    return make_wheel(empty("build"), tree, tmp_path_factory.mktemp("wheel"))


def make_wheel(python, source, folder):
    pip(python, "wheel", "--wheel-dir", folder, source)
    (found,) = folder.glob("asrlib-*.whl")
    return found


def pip(python, command, *words):
    """Without network; setuptools is there."""
    options = ["-q", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run([python, "-m", "pip", command, *options, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(request, empty, tmp_path_factory):
    python, elsewhere = empty(request.param), tmp_path_factory.mktemp("elsewhere")
    if request.param == "editable":
        home = request.getfixturevalue("tree")
        pip(python, "install", "-e", home)
        return Installation(python, home, "", elsewhere)
    home = tmp_path_factory.mktemp("target")
    pip(python, "install", "--target", home, request.getfixturevalue("wheel"))
    return Installation(python, home, str(home), elsewhere)


def test_the_wheel_holds_the_package_and_its_files_and_nothing_else(wheel, tree):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    about = {name for name in names if ".dist-info/" in name}
    assert any(name.endswith("licenses/LICENSE") for name in about)
    assert any(name.endswith("entry_points.txt") for name in about)
    files = {path.relative_to(tree) for top in ("asrlib", "data") for path in (tree / top).rglob("*")}
    files = {path for path in files if (tree / path).is_file() and "__pycache__" not in path.parts}
    assets = {Path("asrlib", "assets", *path.parts[1:]) for path in files if path.parts[0] == "data"}
    package = {path for path in files if path.parts[0] == "asrlib"}
    wanted = {path.as_posix() for path in package | assets}
    assert names - about == wanted
    assert {"asrlib/py.typed", f"asrlib/assets/{CLIP}", "asrlib/config/contextnet-digits.yml"} <= wanted
    assert not any("make_clips" in name for name in names)


def test_a_wheel_of_the_source_distribution_holds_the_same(wheel, tree, empty, tmp_path):
    build = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    python = empty("source")
    done = subprocess.run([python, "-c", build, tmp_path], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (source,) = tmp_path.glob("asrlib-*.tar.gz")
    again = make_wheel(python, source, tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())


def test_its_own_files_are_found_from_another_folder(installed):
    script = f"""
import importlib.resources, asrlib
from asrlib.config.parse import shipped_configs
from asrlib.teaching.exercise_data.posteriors import POSTERIORS
assert importlib.resources.files("asrlib.assets").joinpath({CLIP!r}).is_file()
for name in shipped_configs():
    asrlib.load_config(name)
print(asrlib.__file__, asrlib.files.assets(), POSTERIORS, sep="\\n")
print(len(asrlib.clips()), len(shipped_configs()))
"""
    *paths, counts = installed.prints("-c", script)
    assert all(Path(path).is_relative_to(installed.home) and Path(path).exists() for path in paths)
    configs = len([*(ROOT / "asrlib" / "config").glob("*.yml")])
    assert counts == f"9 {configs}" and configs >= 11


def test_the_command_line_transcribes(installed):
    (assets,) = installed.prints("-c", "from asrlib.files import assets; print(assets())")
    assert installed.asrlib("transcribe", Path(assets, CLIP)) == [WORDS]
    shutil.copy(Path(assets, CLIP), installed.folder / "speech.flac")
    assert installed.asrlib("transcribe", "digits-model", "speech.flac") == [WORDS]


def test_every_model_of_the_kit_loads_by_its_name(installed):
    script = f"""
import asrlib, asrlib.model_directory
clip = asrlib.files.assets() / {CLIP!r}
for name in (None, *asrlib.model_directory.shipped_models()):
    print(name, asrlib.Recognizer.load(name).transcribe(clip).text, sep="|")
"""
    found = dict(line.split("|") for line in installed.prints("-c", script))
    assert found.keys() == {"None", *(path.parent.name for path in (ROOT / "data").glob("*/config.yml"))}
    assert found["None"] == found["digits-model"] == WORDS and all(found.values())


def test_a_model_trains_on_a_folder_and_transcribes(installed, tmp_path):
    corpus, config = tiny.write_corpus(tmp_path / "tones", 60, 6, 6), tmp_path / "tiny.yml"
    steps = dict(max_steps=200, warmup_steps=20, evaluate_every=50, checkpoint_every=100, log_every=20)
    config.write_text(yaml.safe_dump(tiny.settings(batch_seconds=8, **steps)))
    installed.asrlib("train", config, "--corpus", corpus, "--out", "run")
    assert installed.asrlib("transcribe", "run", corpus / "test-0.wav") == [tiny.texts(6, seed=2)[0]]
    wer, *_ = installed.asrlib("test", "run", "--corpus", corpus, "--output", "results.tsv")
    assert wer.startswith("WER 0.0"), wer


@pytest.mark.parametrize(
    "package, extra, words",
    [("espeakng_loader", "synth", ["data", "digits"]), ("lhotse", "train", ["data", "digits"])],
)
def test_what_is_missing_is_one_line(installed, package, extra, words):
    script = f"import sys; sys.modules[{package!r}] = None\nfrom asrlib.cli import main; main()"
    done = installed.run("-c", script, *words)
    line = one_line(done.returncode, done.stderr, [package.replace("_", "-")])
    assert line.endswith(f'which is not installed: pip install "asrlib[{extra}]"\n')
