"""The exception for invalid input: a file, an argument or a configuration key.

The command line prints its message as a single line and exits with code 2. In Python it is an ordinary
``ValueError``. A message names the file, key or argument, says what is wrong with it, and what to do.
"""


class InputError(ValueError):
    """A file, argument or configuration key that asrlib cannot use."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its type if the message is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
