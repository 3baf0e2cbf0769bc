"""Guards what is run: known by its content, and never laid out over the host."""

import pytest

from cairn.errors import CairnError
from cairn.sandbox.image import open_image


@pytest.fixture
def root(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app/predict.py").write_text("answer")
    (tmp_path / "app/link").symlink_to("predict.py")
    return tmp_path


def test_digest_follows_content_mode_and_target(root):
    image, seen = open_image(root), set()
    seen.add(image.digest())
    assert image.digest() in seen
    changes = [
        lambda: (root / "app/predict.py").write_text("Answer"),
        lambda: (root / "app/predict.py").chmod(0o600),
        lambda: (root / "app/predict.py").rename(root / "app/other.py"),
        lambda: ((root / "app/link").unlink(), (root / "app/link").symlink_to("/etc/passwd")),
    ]
    for number, change in enumerate(changes):
        change()
        seen.add(image.digest())
        assert len(seen) == number + 2


def test_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a.sif").write_bytes(b"abc")
    digest = open_image(tmp_path / "a.sif").digest()
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_name_has_no_digest():
    with pytest.raises(CairnError, match="may change"):
        open_image("docker://lab/entry").digest()


@pytest.mark.parametrize("make", [lambda p: p.symlink_to("/oldroot/home"), lambda p: p.mkdir()])
def test_nothing_of_an_image_may_lie_on_the_way_to_the_base(root, make):
    make(root / "srv")  # a link there made bubblewrap write to the host
    assert open_image(root).path
    with pytest.raises(CairnError, match="has /srv") as caught:
        open_image(root, ("/srv/python",))
    assert caught.value.code == "image"


def test_an_image_may_bring_its_own(root):
    (root / "lib").symlink_to("usr/lib")
    (root / "srv/python").mkdir(parents=True)
    assert open_image(root, ("/lib", "/srv/python")).base == ("/lib", "/srv/python")


@pytest.mark.parametrize("name", ["nowhere", "a.tar", "empty"])
def test_what_is_no_image_is_refused(tmp_path, name):
    (tmp_path / "a.tar").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(CairnError) as caught:
        open_image(tmp_path / name)
    assert caught.value.code == "image"
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["docker-archive:entry.tar", "oci:entry", "docker-daemon:entry"])
def test_what_no_engine_runs_as_it_is_is_refused(name):
    with pytest.raises(CairnError) as caught:
        open_image(name)
    assert caught.value.code == "image"
    assert "apptainer build" in caught.value.remedy
