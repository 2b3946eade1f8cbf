"""Pin the packages of the extras lab, test and site, with their dependencies.

    python tools/lock.py             # after a change of the dependencies; existing pins stay
    python tools/lock.py --upgrade   # pin the newest versions
    python tools/lock.py --check     # check that the files agree with pyproject.toml; needs no network

requirements.lock has versions and the hash of every file; constraints.txt has only versions. Both are for
Python 3.10 to 3.13 on Linux, macOS and Windows. uv resolves the versions (`pip install uv`).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
LOCK, CONSTRAINTS = "requirements.lock", "constraints.txt"
EXTRAS = ("lab", "test", "site")
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PLATFORM = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "platform_machine": "x86_64",
}
PIN = re.compile(r"[a-z0-9._-]+==[^\s;]+( ; [^\\]+)?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def wanted(root: Path = ROOT, extras: tuple[str, ...] = EXTRAS) -> list[str]:
    """Return the requirements of asrlib and ``extras``, with nested extras expanded."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = list(project["dependencies"])
    for extra in extras:
        for requirement in project["optional-dependencies"][extra]:
            parsed = Requirement(requirement)
            if parsed.name == project["name"]:
                found += wanted(root, tuple(sorted(parsed.extras)))
            else:
                found.append(requirement)
    return list(dict.fromkeys(found))


def read_lock(root: Path = ROOT) -> dict[str, list[str]]:
    """Return the pins in requirements.lock, ``name==version`` with their markers, and their hashes."""
    lines = (root / LOCK).read_text(encoding="utf-8").replace(" \\\n", "\n").splitlines()
    pins: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith(" "):
            pins[list(pins)[-1]].append(line.strip())
        elif line and not line.startswith("#"):
            pins[line] = []
    return pins


def problems(root: Path = ROOT) -> list[str]:
    """Return the problems of the lock, one line each; the list is empty if there are none."""
    pins = read_lock(root)
    found = [f"{LOCK}: {pin}: not a pinned version" for pin in pins if not PIN.fullmatch(pin)]
    for pin, hashes in pins.items():
        if not hashes or not all(map(HASH.fullmatch, hashes)):
            found.append(f"{LOCK}: {pin}: must have sha256 hashes only")
    versions = set((root / CONSTRAINTS).read_text(encoding="utf-8").splitlines())
    found += [f"{LOCK} has {pin}, {CONSTRAINTS} does not" for pin in sorted(pins.keys() - versions)]
    found += [f"{CONSTRAINTS} has {pin}, {LOCK} does not" for pin in sorted(versions - pins.keys())]
    if found:
        return found
    locked = [Requirement(pin) for pin in pins]
    for python in PYTHONS:
        environment = PLATFORM | {"python_version": python, "python_full_version": f"{python}.0"}
        here = [pin for pin in locked if pin.marker is None or pin.marker.evaluate(environment)]
        for requirement in map(Requirement, wanted(root)):
            if requirement.marker is not None and not requirement.marker.evaluate(environment):
                continue
            of_name = [pin for pin in here if pin.name == requirement.name.lower()]
            chosen = [str(pin.specifier).removeprefix("==") for pin in of_name]
            if len(chosen) != 1 or not requirement.specifier.contains(chosen[0]):
                pinned = " and ".join(chosen) or "nothing"
                found.append(f"Python {python}: pyproject.toml wants {requirement}, {LOCK} pins {pinned}")
    return found


def write(upgrade: bool) -> None:
    """Resolve the requirements with uv and write both files."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"]
    command += ["--python-version", PYTHONS[0], "--generate-hashes", "--no-emit-index-url", "--no-annotate"]
    command += ["--no-header", *(f"--extra={extra}" for extra in EXTRAS), "pyproject.toml", "-o", LOCK]
    subprocess.run(command + ["--upgrade"] * upgrade, cwd=ROOT, check=True)
    (ROOT / CONSTRAINTS).write_text("".join(f"{pin}\n" for pin in read_lock()), encoding="utf-8")


def main() -> None:
    """Write the files, or only check them; exit with the problems if there are any."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--upgrade", action="store_true", help="pin the newest versions")
    parser.add_argument("--check", action="store_true", help="write nothing, report problems")
    arguments = parser.parse_args()
    if not arguments.check:
        try:
            write(arguments.upgrade)
        except subprocess.CalledProcessError as error:
            sys.exit(f"lock.py: uv failed (code {error.returncode}); if it is missing, pip install uv")
    if found := problems():
        sys.exit("\n".join([*found, "run: make lock"]))


if __name__ == "__main__":
    main()
