"""Configurations: the dataclasses, the YAML they are read from, and the files that ship."""
