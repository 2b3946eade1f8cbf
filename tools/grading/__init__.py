"""Points and feedback for a folder of submitted notebooks: ``python tools/grade.py SUBMITTED --out graded``.

SUBMITTED holds a folder per student (any depth inside) or notebooks called after their students. Each
notebook is put together anew from the released one and the student's answers, so that edited or deleted
checks do not matter, and then goes through nbgrader: autograde, feedback, export. Only execution is ours: the
answers run in a sandbox, the tests outside of it, where no answer can read them.

In ``--out``: ``points.csv`` (a row per notebook: points, each task's, and what the grader wants to say),
``feedback/STUDENT/ASSIGNMENT/*.html``, ``grades.csv`` as nbgrader exports it, and its ``gradebook.db``.

In the order of the work: ``submissions`` finds and reads the files, ``matching`` recognizes assignments and
answers, ``assembly`` builds the notebook to grade, ``execution`` runs it in the ``sandbox``, ``converters``
are nbgrader's steps, ``reports`` writes the results, and ``command`` is the whole.
"""
