"""Secrets that are refused before they are stored, and struck out of what is printed."""

import subprocess
import sys
import textwrap

import pytest

from synthgen.redaction import find_secret, secret_in


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ftp://me:canary@host/data", "ftp://***"),
        ("s3://KEY:can/ary+x=@bucket/out", "s3://***"),
        ("sftp://me:can ary'\"\n@host/x", "sftp://***"),
        ("https://canary@host/x", "https://***"),
        ("abfs://box:canary@account/x", "abfs://***"),
        ("zip::ftp://me:canary@host/x", "ftp://***"),
        ("https://host/x?X-Amz-Signature=canary", "https://***"),
        ("see ftp://me:canary@host", "***"),
        ("hf_" + "c" * 34, "***"),
        ("s3://bucket/out@2", None),
        ("http://head:8265/x@y", None),
        ("abfs://box@account/x", None),
        ("a portrait: me@home, 5:30", None),
        ("file:///data/me:you@home", None),
        ("out/me:you@home", None),
    ],
)
def test_a_value_that_holds_a_secret_is_told_by_its_kind_alone(text, shown):
    assert secret_in(text) == shown


def test_a_secret_is_found_wherever_it_lies_in_a_configuration():
    secret = "ftp://me:canary@host"
    assert find_secret({"a": [{"b": "c"}, {"d": secret}]}) == ("a.1.d", "ftp://***")
    assert find_secret({"a": {secret: 1}}) == ("a.ftp://***@host", "ftp://***")
    assert find_secret({"a": [1, None, 2.5, True, "s3://bucket"]}) is None
    bomb: list[object] = [secret.replace("canary", "8")[:3]] * 9
    for _ in range(200):
        bomb = [bomb] * 9
    assert find_secret(bomb) is None
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert find_secret(nested) is None


def test_whatever_a_process_prints_is_cleared():
    program = textwrap.dedent("""
        import logging, sys, warnings
        from synthgen.redaction import guard_terminal
        guard_terminal()
        guard_terminal()
        print("one ftp://me:canary@host", file=sys.stdout)
        warnings.warn("two http://me:canary@proxy:3128")
        logging.getLogger("theirs").warning("three %s", "https://h/x?token=canary")
        raise RuntimeError("four s3://me:canary@bucket ü")
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 1
    assert out == "one ftp://***@host\n"
    assert "canary" not in err
    for text in ["two http://***@proxy:3128", "three https://h/x?token=***", "s3://***@bucket ü"]:
        assert text in err
