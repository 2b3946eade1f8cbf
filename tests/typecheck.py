"""The checker of the shape annotations. An int is accepted where a float is annotated (PEP 484)."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
