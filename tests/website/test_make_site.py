"""Where the site goes: what it replaces, and which folders are refused, with a builder that is quick."""

from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="needs the extra site")

import make_site  # noqa: E402 (after the skip)

from asrlib.errors import InputError  # noqa: E402


class Sources:
    def write(self, folder):
        folder.mkdir(parents=True)
        return 1

    def write_downloads(self, site):
        pass


def sphinx(arguments):
    """Write a site as Sphinx does."""
    site = Path(arguments[-1])
    site.mkdir(parents=True)
    (site / "index.html").write_text("new")
    (site / make_site.MARK).touch()
    return 0


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(make_site, "WORK", tmp_path / "build" / "site-work")
    monkeypatch.setattr(make_site, "Sources", Sources)
    monkeypatch.setattr(make_site, "sphinx", sphinx)
    return tmp_path


def old_site(folder):
    folder.mkdir()
    (folder / make_site.MARK).touch()
    (folder / "gone.html").write_text("old")
    return folder


def test_a_new_site_takes_the_old_ones_place(root):
    site = old_site(root / "site")
    assert make_site.build(site) == 1
    assert sorted(path.name for path in site.iterdir()) == [make_site.MARK, "index.html"]
    assert sorted(path.name for path in root.iterdir()) == ["build", "site"]


def test_a_link_to_a_site_stays_a_link(root):
    site, link = old_site(root / "site"), root / "link"
    link.symlink_to(site)
    make_site.build(link)
    assert link.is_symlink() and (site / "index.html").read_text() == "new"
    assert sorted(path.name for path in site.iterdir()) == [make_site.MARK, "index.html"]


@pytest.mark.parametrize("name", ["build", "build/site-work", "build/site-work/site", "."])
def test_the_folder_of_the_work_is_refused(root, name):
    with pytest.raises(InputError, match="choose another folder"):
        make_site.build(root / name)
    assert list(root.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_before_the_work(root, monkeypatch):
    (root / "file").touch()
    monkeypatch.delattr(make_site, "Sources")
    with pytest.raises(InputError, match="the site cannot be written there") as error:
        make_site.build(root / "file" / "site")
    assert "\n" not in str(error.value)


def test_the_old_site_stays_if_the_new_one_cannot_be_moved(root, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    site = old_site(root / "site")
    monkeypatch.setattr(make_site.shutil, "move", full)
    with pytest.raises(InputError, match="No space left"):
        make_site.build(site)
    assert (site / "gone.html").read_text() == "old"
