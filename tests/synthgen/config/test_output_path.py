import pytest
from pydantic import ValidationError

from synthgen.config.output import OutputConfig

KINDS = (
    " is on no store that a run can write; choose a folder, file://, s3://, gs://, or Azure's "
    "abfs://, where a file appears whole or not at all"
)


def sentence_on(path):
    with pytest.raises(ValidationError) as caught:
        OutputConfig(path=path)
    (error,) = caught.value.errors()
    return error["msg"].removeprefix("Value error, ")


def test_the_hub_is_no_place_to_write_shards():
    assert sentence_on("hf://datasets/me/faces") == (
        "hf://datasets/me/faces cannot be written shard by shard; choose a folder, "
        "s3:// or gs://, and push the finished dataset to the Hub"
    )


@pytest.mark.parametrize(
    "path",
    [
        *("ftp://host/x", "sftp://host/x", "smb://host/x", "http://host/x", "https://host/x"),
        *("zip://a.zip", "jar:///a.jar", "tar://x", "data:,x", "github://x", "git://x"),
        *("reference://x", "memory://x", "local://x", "S3://bucket/x", "nonsense://x", "out/x://y"),
        *("simplecache::s3://bucket/x", "s3://bucket/x::zip", "out::x", "zip://a::s3://b/c.zip"),
    ],
)
def test_only_stores_where_files_appear_whole_are_written(path):
    assert sentence_on(path) == f"{path}{KINDS}"


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("a\0b", "a\\x00b holds the character U+0000, which no path here may hold"),
        ("a\nb", "a b holds the character U+000A, which no path here may hold"),
        ("out ", "'out ' begins or ends with a blank; leave it out"),
        (
            "x" * 5000,
            f"{'x' * 79}… is 5000 characters long; a folder or a URL has at most 4096",
        ),
        (
            "file://out",
            "file://out names no folder: file:// wants an absolute path, as in file:///data/faces",
        ),
    ],
)
def test_what_can_be_no_folder_is_refused(path, sentence):
    assert sentence_on(path) == sentence


@pytest.mark.parametrize(
    "path",
    ["ftp://me:canary@host/x", "s3://KEY:canary@bucket/x", "https://h/x?sig=canary"],
)
def test_a_password_in_the_path_is_refused_and_not_shown(path):
    protocol = path.partition(":")[0]
    assert sentence_on(path) == (
        f"the path holds a user, a password or a token ({protocol}://***), which would be stored "
        "and shown; leave it out, and give it in the environment: AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY for s3://, GOOGLE_APPLICATION_CREDENTIALS for gs://, HF_TOKEN for "
        "the Hub"
    )


@pytest.mark.parametrize(
    "path",
    [
        *("out", "file:///data/out", "s3://bucket/out", "gs://bucket/out", "s3a://bucket/out"),
        *("abfs://box@account.dfs.core.windows.net/out", "~/out", "a b/[c]*?ü", "C:\\out"),
    ],
)
def test_folders_and_object_stores_are_written(path):
    assert OutputConfig(path=path).path == path
