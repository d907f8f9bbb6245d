"""Each step of a file's life is one line that people and programs can read."""

import logging
import shlex

from tosip.gateway.lives import tell


def test_line_can_be_split_again(caplog):
    caplog.set_level(logging.INFO, "tosip.gateway.files")
    facts = {"id": "1-2", "name": 'a "b" c\n=d.fits', "camera": "", "size": 5, "seconds": 0.12345}

    tell("received", **facts)

    (record,) = caplog.records
    step, *words = shlex.split(record.getMessage())
    assert step == "received"
    assert dict(word.split("=", 1) for word in words) == {
        "id": "1-2",
        "name": r'a "b" c\n=d.fits',
        "camera": "",
        "size": "5",
        "seconds": "0.123",
    }
    assert record.__dict__["facts"] == facts
