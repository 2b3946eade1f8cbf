"""Training runs of several processes, started as torchrun does."""

import os
import socket
import subprocess
import sys


def start(config, corpus, out, processes=2):
    """Start the processes of a run, with the variables that a launcher sets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "asrlib.cli", "train", config, "--corpus", corpus]
    command += ["--out", out, *(["--resume"] if out.exists() else [])]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    return [
        subprocess.Popen(
            [str(word) for word in command],
            env=os.environ | place | {"RANK": str(n), "LOCAL_RANK": str(n), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(processes)
    ]


def finish(processes):
    """Return exit codes and standard errors, waiting five minutes at most."""
    errors = [process.communicate(timeout=300)[1] for process in processes]
    return [process.returncode for process in processes], errors
