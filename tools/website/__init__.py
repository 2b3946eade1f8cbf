"""The course as a website: pages from lessons, assignments, documents and docstrings. See make_site.py."""
