"""Diagrams: boxes and arrows in one style. Axes in (``ax=None`` makes one), axes out.

Lengths are inches and letters at least 9 points, so that a diagram can be read at a notebook's width.
Nothing depends on color alone.
"""
