"""Run code of strangers in a process of its own that can reach nothing of ours.

    with Sandbox(Limits()) as sandbox, sandbox.session() as session:
        session.run("def double(x): return 2 * x")
        session.function("double")(torch.ones(3))

One server process imports torch and asrlib and forks a child per session, which first locks itself in:

- namespaces (Linux, where unprivileged ones are allowed): no network, no other process, and a file system
  that holds Python, asrlib and the course's data, read only, and an empty /tmp;
- elsewhere an audit hook that refuses files below the hidden folders, sockets, processes and ctypes; that
  stops the curious, not the determined, and the grader says so; it also lets nothing be written, moved or
  deleted outside of a scratch folder per session;
- limits on memory and file sizes in both cases, and on computing time, which the caller measures.

Tests stay with the caller: only arguments and results cross the socket, as JSON with tensors' bytes, never
as pickles, and what comes back is checked before it is believed.
"""

from .caller import Sandbox, hidden_folders
from .limits import AnswerError, Limits, ProcessEnded, SandboxError
from .session import Remote, Session

__all__ = [
    "AnswerError",
    "Limits",
    "ProcessEnded",
    "Remote",
    "Sandbox",
    "SandboxError",
    "Session",
    "hidden_folders",
]
