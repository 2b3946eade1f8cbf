"""Whether a diagram can be read: for tests/teaching/viz/diagrams."""


def unreadable(ax):
    """What is wrong with a diagram's texts: too small, outside of the picture or of its box, overlapping."""
    from matplotlib.patches import FancyBboxPatch

    ax.figure.canvas.draw()
    texts = [text for text in ax.texts if text.get_text()]
    extents = {text: text.get_window_extent() for text in texts}
    boxes = [patch.get_window_extent() for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    whole, found = ax.bbox.padded(2), []
    for n, text in enumerate(texts):
        own = extents[text]
        if text.get_fontsize() < 9:
            found.append(f"{text.get_text()!r} is small")
        if not _inside(own, whole):
            found.append(f"{text.get_text()!r} leaves the picture")
        if text.get_gid() == "in a box" and not any(_inside(own, patch) for patch in boxes):
            found.append(f"{text.get_text()!r} is wider than its box")
        found += [
            f"{text.get_text()!r} covers {other.get_text()!r}"
            for other in texts[n + 1 :]
            if own.overlaps(extents[other])
        ]
    return found


def _inside(inner, outer):
    return outer.x0 <= inner.x0 and inner.x1 <= outer.x1 and outer.y0 <= inner.y0 and inner.y1 <= outer.y1


def words(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]
