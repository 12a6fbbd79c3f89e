"""The C extension that scans region maps, where it was built."""

from importlib import import_module
from types import ModuleType

try:
    extension: ModuleType | None = import_module("engine.library._scan")
except ImportError:  # no compiler was there when unseen was installed
    extension = None
