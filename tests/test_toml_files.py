"""TOML files that include others and use variables."""

from pathlib import Path

import pytest

from tosip.errors import ConfigurationError
from tosip.toml_files import Text, read_toml


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder / f"{next(iter(files))}.toml"


def fault(folder: Path, **files: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        read_toml(write(folder, **files))
    return str(error.value)


def test_a_file_wins_over_those_that_it_includes(tmp_path):
    path = write(
        tmp_path,
        ioc="include = ['site.toml', 'more.toml']\n[gateway]\nport = 1",
        site="prefix = 'A:'\n[gateway]\nport = 2\nhosts = ['a']",
        more="prefix = 'B:'",
    )
    table = read_toml(path)

    assert table.values == {"prefix": "B:", "gateway": {"port": 1, "hosts": ["a"]}}
    assert table.origin(("gateway", "port"), path) == path
    assert table.origin(("gateway", "hosts", "0"), path) == tmp_path / "site.toml"


def test_equal_sections_are_one_file_included_with_lists_of_variables(tmp_path):
    path = write(
        tmp_path,
        ioc="include = [{ file = 'camera.toml', N = ['01', '02'], USER = ['a', 'b'], K = 'ftp' }]",
        camera='[drivers."CAM${N}"]\nkind = "${K}"\nuser = "${USER}"\nlist = ["${N}"]',
    )
    assert read_toml(path).values["drivers"] == {
        "CAM01": {"kind": "ftp", "user": "a", "list": ["01"]},
        "CAM02": {"kind": "ftp", "user": "b", "list": ["02"]},
    }


def test_variables_of_the_including_file_reach_the_included_and_win(tmp_path):
    path = write(
        tmp_path,
        ioc="include = ['inner.toml']\n[variables]\nSITE = 'north'\nPORT = 21",
        inner="place = '${SITE} ${PORT} ${OWN} $${SITE}'\n[variables]\nSITE = 'none'\nOWN = 'own'",
    )
    assert read_toml(path).values == {"place": "north 21 own ${SITE}"}


def test_a_text_knows_the_folder_of_its_file(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.toml").write_text("file = 'mine.py'")
    path = write(tmp_path, ioc="include = ['inner/a.toml']")

    text = read_toml(path).values["file"]

    assert isinstance(text, Text)
    assert text.folder == tmp_path / "inner"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"ioc": "a = '${B}'"}, "ioc.toml: a: expected a variable of none, got ${B}"),
        (
            {"ioc": "x.y = ['${B}']\n[variables]\nA = 1"},
            "ioc.toml: x.y: expected a variable of A, got ${B}",
        ),
        ({"ioc": "include = ['ioc.toml']"}, "expected files that do not include themselves"),
        ({"ioc": "include = ['gone.toml']"}, "gone.toml: No such file"),
        ({"ioc": "include = 'a.toml'"}, "ioc.toml: include: expected a list, got 'a.toml'"),
        ({"ioc": "include = [1]"}, "ioc.toml: include.0: expected a file, got 1"),
        (
            {"ioc": "include = [{ file = 'a.toml', A = [1], B = [1, 2] }]"},
            "ioc.toml: include.0: expected lists of one length",
        ),
        ({"ioc": "variables = 1"}, "ioc.toml: variables: expected NAME = value"),
        ({"ioc": "include = ['bad.toml']", "bad": "x ="}, "bad.toml: "),
    ],
)
def test_a_mistake_is_named_with_its_file_and_key(tmp_path, files, expected):
    assert expected in fault(tmp_path, **files)
