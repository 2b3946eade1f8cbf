"""What keeps the grader from grading."""


class CannotGrade(Exception):
    """A submission, or anything at all, cannot be graded, which is no student's fault.

    The message, one line, is for the instructor.
    """
