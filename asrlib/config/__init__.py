"""Configurations: the dataclasses, the YAML reader and the shipped configuration files."""
