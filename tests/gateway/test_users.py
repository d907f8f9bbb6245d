"""A users file is read strictly, and its faults are told without its secrets."""

import asyncio

import pytest

from tosip.errors import ConfigurationError
from tosip.gateway import Users, hash_password
from tosip.gateway.users import users_line

GOOD = hash_password("secret")


def test_users_are_read_from_a_file_with_comments(tmp_path):
    path = tmp_path / "users"
    path.write_text(f"# cameras\n\ncam01:{GOOD}\n")
    users = Users.load(path)
    assert asyncio.run(users.verify("cam01", "secret"))
    assert not asyncio.run(users.verify("cam01", "Secret"))
    assert not asyncio.run(users.verify("cam02", "secret"))


def test_every_bad_line_is_named_by_its_number_and_no_hash_is_shown(tmp_path):
    path = tmp_path / "users"
    lines = [f"cam01:{GOOD}", "cam02", f"cam01:{GOOD}", "cam03:scrypt$3$8$1$QQ==$QQ==", "cam04:x"]
    path.write_text("\n".join([*lines, f"anonymous:{GOOD}", f":{GOOD}"]))
    with pytest.raises(ConfigurationError) as caught:
        Users.load(path)
    message = str(caught.value)
    assert [f"{path}:{number}:" in message for number in range(1, 8)] == [False] + [True] * 6
    assert "$$" not in message.replace(GOOD, "$$")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"expected a users file, got .*nothing"):
        Users.load(tmp_path / "nothing")


def test_only_what_was_found_right_is_remembered():
    users = Users({"cam01": GOOD})
    assert not users.remembers("cam01", "secret")
    for password in ("wrong", "secret"):
        asyncio.run(users.verify("cam01", password))
    assert users.remembers("cam01", "secret")
    assert not users.remembers("cam01", "wrong")
    assert not users.remembers("cam02", "secret")


def test_two_hashes_of_one_password_differ():
    assert hash_password("secret") != GOOD


def test_a_line_that_is_made_can_be_read(tmp_path):
    path = tmp_path / "users"
    path.write_text(users_line("cam07", "secret"))
    assert asyncio.run(Users.load(path).verify("cam07", "secret"))
    with pytest.raises(ConfigurationError, match="no usable name"):
        users_line("a:b", "secret")
