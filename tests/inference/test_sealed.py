"""Sealed folders: whole after a crash at any moment, and checked when they are read."""

import contextlib
import io
import os
import shutil
import subprocess

import pytest

from mutoscope.inference.sealed import is_sealed, seal, unseal, write_whole
from mutoscope.zoo.errors import RunError

OLD = {"changed.txt": b"old", "removed.txt": b"old too"}
NEW = {"changed.txt": b"new", "added.txt": b"new too"}
THIRD = {"third.txt": b"third"}
OPERATIONS = ["open", "mkdir", "rename", "replace", "unlink", "rmdir", "scandir", "fsync"]


class Crash(BaseException):
    """The process died: nothing that it would have done afterwards happens."""


class Disk:
    """Counts operations on files while something is done, until one fails."""

    def __init__(self, monkeypatch):
        self._left, self._fail = None, None
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # it is slow
        for module, name in [(io, "open"), *((os, name) for name in OPERATIONS)]:
            monkeypatch.setattr(module, name, self._counted(getattr(module, name)))

    def _counted(self, operation):
        def counted(*arguments, **options):
            if self._left == 0:
                self._fail()
            elif self._left is not None:
                self._left -= 1
            return operation(*arguments, **options)

        return counted

    def survives(self, action, operations):
        """Do something and die after so many operations; tell whether it was done before."""

        def die():
            raise Crash

        self._left, self._fail = operations, die
        with contextlib.suppress(Crash):
            action()
        return self._ends()

    def serves(self, action, operations):
        """Do something for which one operation fails, after so many; tell whether none did."""

        def fail():
            self._left = -1
            raise OSError(28, "No space left on device")

        self._left, self._fail = operations, fail
        action()
        return self._ends()

    def _ends(self):
        left, self._left = self._left, None
        return left > 0


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def writers(files):
    return {
        name: lambda path, content=content: write(path, content) for name, content in files.items()
    }


def write(path, content):
    half = len(content) // 2
    for mode, part in (("wb", content[:half]), ("ab", content[half:])):
        with path.open(mode) as file:
            file.write(part)


def contents(folder):
    return {name: path.read_bytes() for name, path in unseal(folder).items()}


def files_of(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "SHA256SUMS"}


def sealed(folder, files):
    shutil.rmtree(folder, ignore_errors=True)
    seal(folder, writers(files))
    return folder


def test_what_was_sealed_comes_back(tmp_path):
    seal(tmp_path / "deep" / "folder", writers(OLD))
    assert contents(tmp_path / "deep" / "folder") == OLD


def test_a_new_set_replaces_the_old_one_and_leaves_other_files_alone(tmp_path):
    sealed(tmp_path / "run", OLD)
    (tmp_path / "run" / "other.txt").write_bytes(b"other")
    seal(tmp_path / "run", writers(NEW))
    assert contents(tmp_path / "run") == NEW
    assert files_of(tmp_path / "run") == NEW | {"other.txt": b"other"}


def test_a_crash_at_any_moment_leaves_the_old_or_the_new_set(tmp_path, disk):
    found, operations, done = [], 0, False
    while not done:
        folder = sealed(tmp_path / "run", OLD)
        done = disk.survives(lambda folder=folder: seal(folder, writers(NEW)), operations)
        found.append(contents(folder))
        assert found[-1] in (OLD, NEW)
        assert files_of(folder) == found[-1]
        seal(folder, writers(THIRD))
        assert contents(folder) == files_of(folder) == THIRD
        operations += 1
    first_new = found.index(NEW)
    assert first_new > 0
    assert found == [OLD] * first_new + [NEW] * (len(found) - first_new)


def test_a_crash_in_a_fresh_folder_leaves_nothing_or_all(tmp_path, disk):
    found, operations, done = [], 0, False
    while not done:
        folder = tmp_path / str(operations)
        done = disk.survives(lambda folder=folder: seal(folder, writers(NEW)), operations)
        if is_sealed(folder):
            assert contents(folder) == NEW
        else:
            with pytest.raises(RunError, match="not sealed"):
                unseal(folder)
        assert not folder.exists() or files_of(folder) in ({}, NEW)
        found.append(is_sealed(folder))
        operations += 1
    assert found == sorted(found)
    assert set(found) == {False, True}


def test_a_crash_while_a_crash_is_repaired_is_repaired(tmp_path, disk):
    crashed, operations, done = tmp_path / "crashed", 0, False
    while not done:
        sealed(crashed, OLD)
        done = disk.survives(lambda: seal(crashed, writers(NEW)), operations)
        expected, repairs, repaired = None, 0, False
        while not repaired:
            folder = shutil.copytree(crashed, tmp_path / "copy")
            repaired = disk.survives(lambda folder=folder: unseal(folder), repairs)
            expected = expected or contents(folder)
            assert contents(folder) == files_of(folder) == expected
            shutil.rmtree(folder)
            repairs += 1
        assert expected in (OLD, NEW)
        operations += 1


def test_an_operation_that_fails_at_any_moment_is_reported_and_loses_nothing(tmp_path, disk):
    said = []

    def attempt():
        try:
            seal(tmp_path / "run", writers(NEW))
        except RunError as error:
            said.append(str(error))
        else:
            said.append("done")

    operations, done = 0, False
    while not done:
        folder = sealed(tmp_path / "run", OLD)
        done = disk.serves(attempt, operations)
        if "before is whole" in said[-1]:
            assert files_of(folder) == contents(folder) == OLD
        else:
            assert said[-1] == "done" or "saved in" in said[-1]
            assert contents(folder) == files_of(folder) == NEW
        assert said[-1] == "done" or "No space left" in said[-1]
        operations += 1
    for outcome in ("before is whole", "saved in"):
        assert any(outcome in sentence for sentence in said)


@pytest.mark.parametrize("name", list(NEW))
def test_a_full_disk_leaves_no_rubbish_and_names_the_file(tmp_path, name):
    def full(path):
        path.write_bytes(b"half a fi")
        raise OSError(28, "No space left on device")

    sealed(tmp_path / "run", OLD)
    before = (tmp_path / "run" / "SHA256SUMS").read_bytes()
    with pytest.raises(RunError, match=rf"{name} cannot be written .*No space left.*is whole"):
        seal(tmp_path / "run", writers(NEW) | {name: full})
    assert files_of(tmp_path / "run") == OLD
    assert (tmp_path / "run" / "SHA256SUMS").read_bytes() == before


def test_a_full_disk_that_safetensors_meets_is_reported_alike(tmp_path):
    from safetensors.torch import save_file

    sealed(tmp_path / "run", OLD)
    with pytest.raises(RunError, match=r"weights cannot be written"):
        seal(tmp_path / "run", {"weights": lambda path: save_file({}, path / "no such folder")})
    assert files_of(tmp_path / "run") == OLD


def test_a_writer_that_fails_leaves_the_old_set_and_its_own_error(tmp_path):
    sealed(tmp_path / "run", OLD)
    with pytest.raises(ZeroDivisionError):
        seal(tmp_path / "run", writers(NEW) | {"last.txt": lambda path: 1 / 0})
    assert files_of(tmp_path / "run") == OLD


def test_every_file_reaches_the_disk_before_the_new_set_counts(tmp_path, monkeypatch):
    reached, counted = set(), []
    fsync, rename = os.fsync, os.rename

    def noting_fsync(descriptor):
        reached.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def noting_rename(source, target):
        counted.extend(path.stat().st_ino for path in source.iterdir())
        counted.append(source.stat().st_ino)
        assert set(counted) <= reached
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "rename", noting_rename)
    seal(tmp_path / "run", writers(NEW))
    assert len(counted) == len(NEW) + 2


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs coreutils")
def test_coreutils_check_a_sealed_folder(tmp_path):
    sealed(tmp_path, OLD)
    command = ["sha256sum", "--strict", "-c", "SHA256SUMS"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0
    (tmp_path / "changed.txt").write_bytes(b"other")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 1


def test_a_folder_that_was_never_sealed_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        assert not is_sealed(folder)
        with pytest.raises(RunError, match="is not sealed"):
            unseal(folder)


def test_a_changed_file_is_named(tmp_path):
    sealed(tmp_path, OLD)
    (tmp_path / "changed.txt").write_bytes(b"olD")
    with pytest.raises(RunError, match=r"changed\.txt is damaged"):
        unseal(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    sealed(tmp_path, OLD)
    (tmp_path / "removed.txt").unlink()
    with pytest.raises(RunError, match=r"removed\.txt is missing"):
        unseal(tmp_path)


@pytest.mark.parametrize("name", [*OLD, "SHA256SUMS"])
def test_a_link_is_no_sealed_file(tmp_path, name):
    sealed(tmp_path / "run", OLD)
    (tmp_path / "run" / name).rename(tmp_path / name)
    (tmp_path / "run" / name).symlink_to(tmp_path / name)
    with pytest.raises(RunError, match=r"no plain file|no file SHA256SUMS"):
        unseal(tmp_path / "run")


HASH = "0" * 64


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{HASH}  a.txt",
        f"{HASH}  a.txt\n\n",
        f"{HASH} a.txt\n",
        f"{HASH} *a.txt\n",
        f"{HASH}  a.txt\r\n",
        f" {HASH}  a.txt\n",
        f"{HASH.replace('0', 'A')}  a.txt\n",
        f"{HASH[1:]}  a.txt\n",
        f"{HASH}  a.txt\n{HASH}  a.txt\n",
        f"{HASH}  SHA256SUMS\n",
        f"{HASH}  ../a.txt\n",
        f"{HASH}  /a.txt\n",
        f"{HASH}  sub/a.txt\n",
        f"{HASH}  sub\\a.txt\n",
        f"{HASH}  ..\n",
        f"{HASH}  .pending\n",
        f"{HASH}  \n",
        f"{HASH}  ä.txt\n",
        f"{HASH}  a.txt\0\n",
        "".join(f"{HASH}  {number}.txt\n" for number in range(2**14)),  # a megabyte and more
    ],
)
def test_a_list_in_any_other_form_is_refused(tmp_path, text):
    (tmp_path / "run").mkdir()
    for folder in (tmp_path, tmp_path / "run"):
        (folder / "a.txt").write_bytes(b"")
    (tmp_path / "run" / "SHA256SUMS").write_bytes(text.encode())
    with pytest.raises(RunError, match="SHA256SUMS is damaged"):
        unseal(tmp_path / "run")


@pytest.mark.parametrize("where", ["run", "run/.pending"])
def test_a_forged_list_touches_nothing_outside_of_its_folder(tmp_path, where):
    for name in ("victim.txt", "run/victim.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"precious")
    (tmp_path / where).mkdir(exist_ok=True)
    (tmp_path / where / "SHA256SUMS").write_text(f"{HASH}  ../victim.txt\n")
    for action in (unseal, lambda folder: seal(folder, writers(NEW))):
        try:
            action(tmp_path / "run")
        except RunError as error:
            assert "damaged" in str(error)  # noqa: PT017 - sealing may also repair the folder
    assert (tmp_path / "victim.txt").read_bytes() == b"precious"
    assert (tmp_path / "run" / "victim.txt").read_bytes() == b"precious"


def test_a_pending_set_elsewhere_is_not_followed(tmp_path):
    elsewhere = sealed(tmp_path / "elsewhere", NEW)
    sealed(tmp_path / "run", OLD)
    (tmp_path / "run" / ".pending").symlink_to(elsewhere)
    assert contents(tmp_path / "run") == OLD
    assert contents(elsewhere) == NEW


def test_a_damaged_folder_can_be_sealed_again(tmp_path):
    sealed(tmp_path, OLD)
    (tmp_path / "SHA256SUMS").write_bytes(b"nonsense")
    seal(tmp_path, writers(NEW))
    assert contents(tmp_path) == NEW


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", "/a", ".hidden", "a\nb", "SHA256SUMS"])
def test_only_plain_names_are_sealed(tmp_path, name):
    with pytest.raises(RunError, match="cannot be sealed"):
        seal(tmp_path / "run", writers({name: b"content"}))
    assert not (tmp_path / "run").exists()


def test_an_empty_set_is_refused_and_replaces_nothing(tmp_path):
    sealed(tmp_path, OLD)
    with pytest.raises(RunError, match="nothing to seal"):
        seal(tmp_path, {})
    assert contents(tmp_path) == OLD


def test_a_file_in_place_of_the_folder_is_reported(tmp_path):
    (tmp_path / "run").write_bytes(b"a file")
    with pytest.raises(RunError, match="cannot be written"):
        seal(tmp_path / "run", writers(NEW))
    with pytest.raises(RunError, match="not sealed"):
        unseal(tmp_path / "run")


def test_a_single_file_is_written_whole_or_not_at_all(tmp_path):
    def half(path):
        path.write_bytes(b"half a fi")
        raise OSError(28, "No space left on device")

    write_whole(tmp_path / "a.txt", lambda path: path.write_bytes(b"whole"))
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a.txt", half)
    assert files_of(tmp_path) == {"a.txt": b"whole"}


def test_a_folder_takes_the_place_of_another_whole_or_not_at_all(tmp_path):
    def folder(content, error=None):
        def write(path):
            path.mkdir()
            (path / content).write_bytes(b"")
            if error:
                raise error

        return write

    path = tmp_path / "draws"
    write_whole(path, folder("old"))
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, folder("half", OSError(28, "No space left on device")))
    assert [each.name for each in path.iterdir()] == ["old"]
    write_whole(path, folder("new"))
    assert [each.name for each in path.iterdir()] == ["new"]
    assert [each.name for each in tmp_path.iterdir()] == ["draws"]
