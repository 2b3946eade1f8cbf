"""Grade a folder of submitted notebooks: ``python tools/grade.py SUBMITTED --out graded``.

SUBMITTED has a folder per student (of any depth), or notebooks named after their students. Each notebook is
rebuilt from the released one and the student's answers, so that edited or deleted checks do not matter. It
then goes through nbgrader: autograde, feedback, export. Only execution is replaced: the answers run in a
sandbox, and the tests run outside of it, where no answer can read them.

The folder ``--out`` gets ``points.csv`` (a row per notebook with points, points per task, and the grader's
notes), ``feedback/STUDENT/ASSIGNMENT/*.html``, nbgrader's ``grades.csv``, and its ``gradebook.db``.

The modules in the order of the work: ``submissions`` finds and reads the files, ``matching`` recognizes
assignments and answers, ``assembly`` builds the notebook to grade, ``execution`` runs it in the ``sandbox``,
``converters`` runs nbgrader's steps, ``reports`` writes the results, and ``command`` combines them.
"""
