"""What a scan leaves out: by `--exclude`, by `.unseenignore`, and because no person put it there."""

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch

IGNORE_FILE = ".unseenignore"
# Thumbnails and bins of Synology and QNAP, parts of programs, what Windows and Linux keep on every disk.
SKIPPED = frozenset(
    ("@eaDir", "#recycle", "@Recycle", "node_modules", "$RECYCLE.BIN", "System Volume Information", "lost+found")
)


@dataclass(frozen=True)
class Rule:
    """A glob for what lies below `folder`: `!` takes back, a slash at the start means the path from there."""

    folder: str
    glob: str
    folders_only: bool
    takes_back: bool

    @classmethod
    def parse(cls, folder: str, line: str) -> "Rule":
        """One line of a `.unseenignore` file, or a value of `--exclude`."""
        takes_back = line.startswith("!")
        glob = line[takes_back:]
        return cls(folder, glob.rstrip("/"), glob.endswith("/"), takes_back)

    def matches(self, path: str, name: str, is_folder: bool) -> bool:
        """Whether the rule is about this file or folder."""
        if self.folders_only and not is_folder:
            return False
        below = path[len(self.folder.rstrip("/")) + 1 :]
        if self.glob.startswith("/"):
            return fnmatch(below, self.glob[1:])
        return fnmatch(name, self.glob) or fnmatch(below, self.glob)


def rules_of_file(folder: str) -> list[Rule]:
    """The rules in the `.unseenignore` of a folder; an empty file leaves out all of it. Raises OSError."""
    path = os.path.join(folder, IGNORE_FILE)  # noqa: PTH118  (paths may hold bytes that are not UTF-8)
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  (a pipe would never end)
        raise OSError(errno.EINVAL, "not a file", path)
    with open(path, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
        lines = [line.strip() for line in file]
    wanted = [line for line in lines if line and not line.startswith("#")]
    return [Rule.parse(folder, line) for line in wanted or ["*"]]


def ignored(path: str, name: str, is_folder: bool, rules: Iterable[Rule]) -> bool:
    """Whether a file or folder is left out; of several rules about it the last one counts."""
    if name.startswith(".") or name in SKIPPED:
        return True
    left_out = False
    for rule in rules:
        if rule.matches(path, name, is_folder):
            left_out = not rule.takes_back
    return left_out
