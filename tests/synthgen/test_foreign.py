import os
import pickle

import pytest

from synthgen.errors import ActionUnitError, ConfigError, MissingDependencyError, StoreError
from synthgen.foreign import excerpt, first_few, first_line, reading, regular_file
from synthgen.redaction import without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ftp://me:canary@host/data", "ftp://***@host/data"),
        ("cannot write s3://canary@bucket/a: no", "cannot write s3://***@bucket/a: no"),
        ("https://h/x?X-Amz-Signature=canary&a=1", "https://h/x?X-Amz-Signature=***&a=1"),
        ("https://h/x?a=1&token=canary", "https://h/x?a=1&token=***"),
        ("sftp://u:p@ss@host/x", "sftp://***@host/x"),
        ("s3://bucket/folder@v2", "s3://bucket/folder@v2"),
        ("someone@example.org", "someone@example.org"),
        ("ftp://u:p/w#d?@host/x", "ftp://***@host/x"),
        ("ftp:/u:canary@host/x", "ftp:/***@host/x"),  # as pathlib leaves a URL
        ("/work/ftp:/u:canary@host/x", "/work/ftp:/***@host/x"),
        ("FTP://u:canary@h, then http://v:canary@i", "FTP://***@h, then http://***@i"),
        ("simplecache::sftp://u:canary@h/x", "simplecache::sftp://***@h/x"),
        ("cut to ftp://u:cana…", "cut to ftp://***@"),
        ("http://head:8265/jobs@2", "http://head:8265/jobs@2"),
        ("http://[::1]:8265/a@b", "http://[::1]:8265/a@b"),
        ("ray://head:10001, a@b", "ray://head:10001, a@b"),
        (
            "abfss://box@account.dfs.core.windows.net/x",
            "abfss://box@account.dfs.core.windows.net/x",
        ),
        ("C:/Users/me@home", "C:/Users/me@home"),
        ("az://b/x?sv=1&sig=canary%3D&se=2", "az://b/x?sv=1&sig=***&se=2"),
        ("Authorization: Bearer canary", "Authorization: Bearer ***"),
        (f"token hf_{'c' * 34} is bad", "token hf_*** is bad"),
        ("hf_hub_download_of_a_long_name_or_so", "hf_hub_download_of_a_long_name_or_so"),
    ],
)
def test_secrets_are_struck_out_of_urls(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize("piece", ["a://b:x", "?key", "a.", "http://", "?"])
def test_no_text_takes_long_to_be_cleared(piece: str) -> None:
    text = piece * (50_000 // len(piece))
    assert without_secrets(text).startswith(text[0])  # a pattern that backtracks takes hours


@pytest.mark.parametrize("error", [ConfigError, ActionUnitError, MissingDependencyError])
def test_the_text_of_an_error_holds_no_secrets_wherever_it_goes(error) -> None:
    found = error("cannot open ftp://u:canary@host/x")
    for text in [str(found), repr(found), str(pickle.loads(pickle.dumps(found)))]:
        assert "canary" not in text
        assert "cannot open ftp://***@host/x" in text


def test_an_excerpt_is_one_short_printable_line() -> None:
    assert excerpt("two\nlines\x00 \ud800") == "two lines\\x00 \\ud800"
    long = excerpt("x" * 90_000_179)
    assert len(long) == 300
    assert long.endswith("x…")


def test_the_first_line_of_an_error_says_something() -> None:
    assert first_line(ValueError("first.\nsecond")) == "first"
    assert first_line(ValueError("\n")) == "ValueError"
    assert first_line(OSError("ftp://u:canary@h")) == "ftp://***@h"


def test_the_first_few_of_many_texts_are_named_and_the_others_counted() -> None:
    assert first_few(["a", "b"], 2) == "a, b"
    assert first_few(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert first_few(["a", "b"], 1, "; ", "; and ") == "a; and 1 more"


def test_only_a_regular_file_is_opened(tmp_path) -> None:
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_bytes(b"12345")
    assert regular_file(file, "the store", StoreError) == 5
    for path, sentence in [
        (pipe, f"the store {pipe} is a named pipe; it must be a regular file"),
        (tmp_path, f"the store {tmp_path} is a folder; it must be a regular file"),
        (tmp_path / "none", f"the store {tmp_path / 'none'} does not exist"),
        ("nul\0byte", "the store nul\\x00byte cannot be read: embedded null byte"),
    ]:
        with pytest.raises(StoreError) as caught:
            regular_file(path, "the store", StoreError)
        assert str(caught.value) == sentence
    with pytest.raises(StoreError) as caught:
        regular_file(file, "the store", StoreError, largest=4)
    assert str(caught.value) == (
        f"the store {file} has 5 bytes; at most 4 are read, so it is hardly what it is taken for"
    )


def test_whatever_a_reader_raises_becomes_one_sentence():
    for cause in (KeyError("a\nb"), RecursionError(), NotImplementedError("x" * 900)):
        with pytest.raises(StoreError) as caught, reading("faces.npz", StoreError):
            raise cause
        assert caught.value.__cause__ is cause
        assert str(caught.value).startswith("faces.npz cannot be read: ")
        assert len(str(caught.value)) < 400
    with pytest.raises(StoreError, match=r"^ours$"), reading("faces.npz", StoreError):
        raise StoreError("ours")
