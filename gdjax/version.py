"""The version of the package."""

from importlib import metadata

try:
    __version__: str = metadata.version("gdjax")
except metadata.PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"
