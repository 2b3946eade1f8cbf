"""Points and feedback for a folder of submitted notebooks.

    python tools/grade.py SUBMITTED --out graded

The work is done by the package ``grading`` beside this file.
"""

import sys

from grading.command import main

if __name__ == "__main__":
    sys.exit(main())
