"""Grade a folder of submitted notebooks: points and feedback.

    python tools/grade.py SUBMITTED --out graded

The package ``grading`` in this folder does the work.
"""

import sys

from grading.command import main

if __name__ == "__main__":
    sys.exit(main())
