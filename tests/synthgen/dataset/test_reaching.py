"""Stores that do not answer, refuse, or are none: each one sentence within seconds."""

import contextlib
import socket

import pytest
import s3fs
from s3_server import s3_server

from synthgen.dataset import RetryPolicy, Storage, opening, reached
from synthgen.errors import OutputError

S3 = (
    "check the address, the bucket and the credentials (AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the machine's role)"
)
GOOGLE = (
    "check the address, the bucket and the credentials (GOOGLE_APPLICATION_CREDENTIALS, `gcloud "
    "auth application-default login`, or the machine's account)"
)
KINDS = (
    " is on no store of datasets; give a folder, or a URL that begins with file://, s3://, gs://, "
    "abfs://, hf:// or https://"
)


def sentence_on(url, patience=None):
    with pytest.raises(OutputError) as caught:
        reached(url, patience)
    return str(caught.value)


@pytest.fixture
def keys(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    s3fs.S3FileSystem.clear_instance_cache()  # it may have been opened at another address
    yield monkeypatch
    s3fs.S3FileSystem.clear_instance_cache()


@contextlib.contextmanager
def listening(answers):
    """Yield the address of a server that takes no request, or where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        if answers:
            yield address
    if not answers:
        yield address


def test_a_bucket_that_is_there_is_reached_and_another_is_named():
    with s3_server() as bucket:
        storage = reached(f"{bucket}/out", RetryPolicy(300))
        storage.write("a", b"x")
        assert Storage(f"{bucket}/out").read("a") == b"x"
        assert storage._patience.seconds == 300
        assert reached(f"{bucket}/out").names() == ["a"]
        text = sentence_on("s3://no-such-bucket/out")
    assert text.startswith("http://127.0.0.1:")
    assert text.endswith(f" (AWS_ENDPOINT_URL) has no bucket no-such-bucket; {S3}")


def test_a_wrong_endpoint_is_named_within_seconds(keys):
    keys.setattr(opening, "FIRST_ANSWER", 6.0)
    with listening(answers=False) as address:
        keys.setenv("AWS_ENDPOINT_URL", address)
        for patience, tried in [(None, ""), (RetryPolicy(300), " (tried again for 4.2 s)")]:
            assert sentence_on(f"s3://bucket-{address[-5:]}/out", patience) == (
                f"cannot reach s3://bucket-{address[-5:]}/out: could not connect to the endpoint "
                f'URL: "{address}/bucket-{address[-5:]}"{tried}; {address} (AWS_ENDPOINT_URL) was '
                f"asked: {S3}"
            )


@pytest.mark.parametrize(
    ("url", "variable", "advice"),
    [
        ("s3://silent/out", "AWS_ENDPOINT_URL", S3),
        ("gs://silent/x", "STORAGE_EMULATOR_HOST", GOOGLE),
    ],
)
def test_a_silent_store_is_not_waited_for(url, variable, advice, keys):
    keys.setattr(opening, "FIRST_ANSWER", 0.5)
    with listening(answers=True) as address:
        keys.setenv(variable, address)
        assert sentence_on(url) == (
            f"cannot reach {url}: {address} ({variable}) has not answered for 0.5 s; {advice}"
        )


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://host/x", "sftp://host/x", "zip://a.zip", "data:,x", "github://x"),
        *("reference://x", "jar://x", "git://x", "nonsense://x", "local://x"),
    ],
)
def test_what_is_no_store_of_datasets_is_refused(url):
    assert sentence_on(url) == f"{url}{KINDS}"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("a\0b", "a\\x00b holds the character U+0000, which no path here may hold"),
        ("\udcff", "\\udcff holds the character U+DCFF, which no path here may hold"),
        ("x" * 5000, f"{'x' * 79}… is 5000 characters long; a folder or a URL has at most 4096"),
        ("ftp://me:canary@host/x", "the URL of the dataset holds a user, a password or a token "
         "(ftp://***), which would be stored and shown; leave it out, and give it in the "
         "environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3://, "
         "GOOGLE_APPLICATION_CREDENTIALS for gs://, HF_TOKEN for the Hub"),
    ],
)  # fmt: skip
def test_what_can_be_no_place_of_a_dataset_is_refused(url, sentence):
    assert sentence_on(url) == sentence


def test_a_name_that_the_hub_does_not_allow_is_one_sentence():
    assert sentence_on("hf://a").startswith(
        "cannot look for .synthgen/run.json in hf://a: invalid HF URI 'hf://a/.synthgen/run.json'."
    )
