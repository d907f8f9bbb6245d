"""Small talk: verbs that say what the gateway is, and folders that need not exist."""

import ftplib

import pytest

HARMLESS = (
    "NOOP; SYST; FEAT; OPTS UTF8 ON; OPTS UTF8; MODE S; STRU F; TYPE I; TYPE L 8; HELP; HELP STOR;"
    " SITE CHMOD 644 x; noop; type i; mode s; ALLO 0; REST 0; ABOR; STAT; EPSV; PASV"
)


def test_harmless_verbs_are_answered(standing):
    with standing.ftp() as client:
        for command in HARMLESS.split("; "):
            assert client.sendcmd(command)[0] in "23", command


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("MODE B", "504"),
        ("STRU R", "504"),
        ("TYPE E", "504"),
        ("TYPE", "501"),
        ("OPTS", "501"),
        ("OPTS UTF8 OFF", "501"),
        ("SITE EXEC x", "502"),
        ("SMNT x", "502"),
        ("REIN", "502"),
        ("ACCT x", "502"),
        ("AUTH TLS", "502"),
        ("RMD a", "550"),
        ("XRMD a", "550"),
        ("", "502"),
        ("connection gone", "502"),
        ("\u00e9\u00e9", "502"),
    ],
)
def test_what_is_not_offered_is_refused_and_the_session_goes_on(standing, command, code):
    with standing.ftp() as client:
        with pytest.raises(ftplib.error_perm, match=code):
            client.sendcmd(command)
        assert client.pwd() == "/"


def test_every_feature_and_every_verb_of_help_is_known(standing):
    with standing.ftp() as client:
        features = [line.split()[0] for line in client.sendcmd("FEAT").splitlines()[1:-1]]
        verbs = " ".join(client.sendcmd("HELP").splitlines()[1:-1]).split()
        assert set(features) - {"UTF8", "TVFS"} <= set(verbs)
        assert {"STOR", "STOU", "APPE", "RNFR", "ABOR", "ALLO", "XCWD"} <= set(verbs)
        for verb in set(verbs) - {"QUIT"}:
            client.sock.sendall(f"{verb}\r\n".encode())
            assert "not offered here" not in reply(client), verb


def reply(client):
    """Return one reply, whatever its code."""
    return client.getmultiline()


def test_every_folder_exists(standing):
    with standing.ftp() as client:
        assert client.cwd("night/cam01").startswith("250")
        assert client.pwd() == "/night/cam01"
        client.sendcmd("CDUP")
        assert client.pwd() == "/night"
        client.sendcmd("XCWD deep")
        assert client.sendcmd("XPWD") == '257 "/night/deep"'
        client.sendcmd("XCUP")
        client.cwd("../../..")
        assert client.pwd() == "/"
        assert client.mkd("a/b") == "/a/b"
        assert client.mkd("a/b") == "/a/b"


def test_quotes_in_a_folder_are_doubled(standing):
    with standing.ftp() as client:
        client.cwd('a"b')
        assert client.sendcmd("PWD") == '257 "/a""b"'
        assert client.pwd() == '/a"b'


@pytest.mark.parametrize("command", ["CWD a\\b", "MKD a\x07b", "CWD " + "n" * 300])
def test_folders_that_could_do_harm_are_553(standing, command):
    with standing.ftp() as client:
        with pytest.raises(ftplib.error_perm, match="553"):
            client.sendcmd(command)
        assert client.pwd() == "/"
