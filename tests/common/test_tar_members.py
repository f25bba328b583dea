"""Members of a tar are those that tarfile finds, and damage is where it is."""

import io
import tarfile

import pytest

from common.tar_members import FOLDER, PLAIN, SYMLINK, DamagedTar, read_members

NAMES = ("a.txt", "é" * 60 + "/" + "b" * 120, "x" * 300)


def tar_of(kind: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for number, name in enumerate(NAMES):
            info = tarfile.TarInfo(name)
            info.size = 700 * number
            tar.addfile(info, io.BytesIO(bytes([number]) * info.size))
        for name, flag in (("folder", tarfile.DIRTYPE), ("link", tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = flag, "a.txt" if flag == tarfile.SYMTYPE else ""
            tar.addfile(info)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_are_those_of_tarfile(kind):
    content = tar_of(kind)
    found = list(read_members(io.BytesIO(content)))
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        expected = [(info.name, info.size, info.offset_data) for info in tar]
    assert [(member.name, member.size, member.offset) for member in found] == expected
    assert [member.kind for member in found] == [PLAIN] * 3 + [FOLDER, SYMLINK]
    assert found[-1].target == "a.txt"


def test_a_tar_is_read_up_to_its_damage():
    content = tar_of(tarfile.GNU_FORMAT)
    cut = list(read_members(io.BytesIO(content)))[1]
    with pytest.raises(DamagedTar, match="ends inside a member") as raised:
        list(read_members(io.BytesIO(content[: cut.offset + 100])))
    assert not raised.value.start
    with pytest.raises(DamagedTar) as raised:
        list(read_members(io.BytesIO(b"no tar at all".ljust(1024, b"!"))))
    assert raised.value.start
