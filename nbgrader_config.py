"""nbgrader's settings: assignments are written in solutions/, handed out from exercises/."""

c = get_config()  # noqa: F821 (nbgrader provides it)

c.CourseDirectory.course_id = "asr"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
# a cell that only raises is what the checkers report as "not done yet"
c.ClearSolutions.code_stub = {"python": "# your answer\nraise NotImplementedError"}
c.ClearSolutions.text_stub = "(your answer)"
