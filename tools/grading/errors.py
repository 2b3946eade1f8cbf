"""The exception for failures of the grader itself."""


class CannotGrade(Exception):
    """A submission, or the whole folder, cannot be graded for a reason that is not a student's fault.

    The message is one line for the instructor.
    """
