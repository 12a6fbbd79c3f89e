import os
import signal
import subprocess
import sys

import pytest

from engine.errors import LibraryLocked, LibraryReadOnly
from engine.library.lock import writer_lock

HOLD = """
import sys
from pathlib import Path
from engine.library.lock import writer_lock
sys.argv = ["/usr/bin/unseen", "index", "/my photos"]
with writer_lock(Path({folder!r})):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of the library in `tmp_path`."""
    command = [sys.executable, "-c", HOLD.format(folder=str(tmp_path))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_writer_is_told_at_once_who_the_first_one_is(tmp_path, holder):
    with pytest.raises(LibraryLocked) as caught, writer_lock(tmp_path):
        pass
    assert f"process {holder.pid} on {os.uname().nodename}: unseen index '/my photos'" in str(caught.value)
    assert "run the same command again" in str(caught.value)


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with writer_lock(tmp_path):
        pass


def test_a_lock_can_be_taken_again_after_it_was_released(tmp_path):
    for _ in range(2):
        with writer_lock(tmp_path / "new" / "library"):
            assert (tmp_path / "new" / "library" / "writer.json").exists()
        assert not (tmp_path / "new" / "library" / "writer.json").exists()


def test_a_library_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LibraryReadOnly, match="file/library cannot be written"), writer_lock(tmp_path / "file/library"):
        pass
