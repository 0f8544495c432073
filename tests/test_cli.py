"""Tests of the command line as a whole; each command has its own."""

import pytest

from attnlib.__main__ import main


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for command in ("datasets", "claims", "report", "docs"):
        assert command in text


@pytest.mark.parametrize("arguments", [[], ["dataset"], ["claims", "--x"]])
def test_wrong_usage_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_an_error_is_one_line_and_status_1(capsys):
    assert main(["datasets", "fetch", "no-such-set"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "no-such-set" in error
    assert len(error.strip().splitlines()) == 1
