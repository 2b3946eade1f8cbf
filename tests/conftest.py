"""Shapes in annotations are enforced while the tests run (jaxtyping + beartype)."""

from jaxtyping import install_import_hook

install_import_hook("asrlib", "beartype.beartype")
