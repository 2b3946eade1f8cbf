"""asrlib.files: the kit's own data, and files that are written whole or not at all."""

import os

import pytest

from asrlib.files import assets, replacing, write_atomically


def test_the_kits_own_data_lie_in_the_checkout_or_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.delenv("ASRLIB_DATA", raising=False)
    assert (assets() / "clips" / "manifest.tsv").is_file()
    monkeypatch.setenv("ASRLIB_DATA", str(tmp_path))
    assert assets() == tmp_path


@pytest.mark.parametrize("inside", [True, False])
def test_an_installed_package_holds_its_data_and_a_checkout_has_them_beside_it(inside, tmp_path, monkeypatch):
    monkeypatch.delenv("ASRLIB_DATA", raising=False)
    package = tmp_path / "site" / "asrlib"
    package.mkdir(parents=True)
    beside = tmp_path / "site" / "data"
    beside.mkdir()  # of another package, or of the checkout
    if inside:
        (package / "assets").mkdir()
    monkeypatch.setattr("importlib.resources.files", {"asrlib": package}.__getitem__)
    assert assets() == (package / "assets" if inside else beside)


def test_a_draft_left_by_a_killed_process_is_swept_away(tmp_path):
    (tmp_path / "draft.partial").mkdir()
    (tmp_path / "draft.partial" / "config.yml").write_text("half wri")
    with replacing(tmp_path) as draft:
        assert list(draft.iterdir()) == []
        (draft / "metrics.json").write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "results.tsv"
    path.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught:
        write_atomically(path, b"new")
    assert caught.value.filename == str(path)
    assert [p.name for p in tmp_path.iterdir()] == ["results.tsv"] and path.read_text() == "old"
    monkeypatch.undo()
    write_atomically(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["results.tsv"] and path.read_text() == "new"


def test_a_device_or_a_link_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(tmp_path / "pipe", b"words")
        assert os.read(reader, 100) == b"words"
    finally:
        os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "link").symlink_to(tmp_path / "file")  # as /dev/stdout is
    write_atomically(tmp_path / "link", b"words")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_bytes() == b"words"
