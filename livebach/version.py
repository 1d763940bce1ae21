"""The version of livebach. It stands in a module of its own, so that it can be read without anything else."""

__version__ = "0.1.0"
