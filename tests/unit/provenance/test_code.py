"""Guards the code hash that decides about reruns: behaviour moves it, comments and strangers do not."""

from pathlib import Path

import pytest

from cairn.provenance import code
from cairn.provenance.code import code_hash


@pytest.fixture(params=["alone", "beside Snakemake's records"])
def tree(tmp_path: Path, request) -> Path:
    if request.param != "alone":
        (tmp_path / ".snakemake").mkdir()
    tmp_path = tmp_path / "src"
    package = tmp_path / "pkg"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep/__init__.py").write_text("")
    (package / "deep/used.py").write_text('"""Doc."""\n\ndef f(x):\n    return x + 1  # plus\n')
    (package / "other.py").write_text("y = 1\n")
    (package / "lazy.py").write_text("z = 1\n")
    (tmp_path / "script.py").write_text(
        "import os\nfrom pkg.deep.used import f\n\ndef main():\n    from pkg import lazy\n    return lazy.z\n"
    )
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "moves"),
    [("pkg/deep/used.py", "# plus", "# adds one", False), ("pkg/deep/used.py", '"""Doc."""', '"""Other."""', False),
     ("pkg/deep/used.py", "x + 1", "x + 2", True), ("pkg/other.py", "y = 1", "y = 2", False),
     ("pkg/lazy.py", "z = 1", "z = 2", True), ("script.py", "import os", "import os\nimport sys", True),
     ("pkg/deep/used.py", "    return", "    'a docstring'\n    return", False)],
)  # fmt: skip
def test_what_moves_the_hash(tree, file, old, new, moves):
    before = code_hash(tree / "script.py", tree)
    edit(tree / file, old, new)
    assert (code_hash(tree / "script.py", tree) != before) is moves


def test_package_inits_count(tree):
    before = code_hash(tree / "script.py", tree)
    (tree / "pkg/__init__.py").write_text("import os\n")
    assert code_hash(tree / "script.py", tree) != before


def test_templates_beside_imported_modules_count(tree):
    before = code_hash(tree / "script.py", tree)
    (tree / "pkg/deep/page.html").write_text("<p>")
    assert code_hash(tree / "script.py", tree) != before


def test_hash_does_not_depend_on_the_folder(tree, tmp_path_factory):
    import shutil

    copy = tmp_path_factory.mktemp("elsewhere") / "a b"
    shutil.copytree(tree, copy)
    assert code_hash(tree / "script.py", tree) == code_hash(copy / "script.py", copy)


def test_what_a_content_gave_is_kept_and_serves_no_other_content(tmp_path, monkeypatch):
    memory = tmp_path / ".snakemake/cairn-code"
    memory.parent.mkdir()
    first, second = code._facts(b"import os\nx = 1\n", memory), code._facts(b"import os\nx = 2\n", memory)
    assert first != second
    with monkeypatch.context() as patch:
        patch.setattr(code, "_parse", lambda source: pytest.fail("parsed again"))
        assert list(code._facts(b"import os\nx = 1\n", memory)) == list(first)
    for file in memory.iterdir():
        file.write_text("{")  # cut by an interruption
    assert code._facts(b"import os\nx = 2\n", memory) == second


def test_nothing_is_kept_where_snakemake_keeps_nothing(tmp_path):
    code._facts(b"x = 1\n", tmp_path / ".snakemake/cairn-code")
    assert list(tmp_path.iterdir()) == []
