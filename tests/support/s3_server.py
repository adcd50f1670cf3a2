"""A real S3 server on loopback (moto's), for the length of a `with`."""

import contextlib
import logging
import os
import uuid
from collections.abc import Iterator
from unittest import mock

import s3fs
from moto.server import ThreadedMotoServer


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Start a server that the standard variables name, and yield the URL of an empty bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    bucket = f"bucket-{uuid.uuid4().hex}"
    try:
        with mock.patch.dict(os.environ, variables):
            # Filesystems are kept by fsspec: one of another server must not be found again.
            s3fs.S3FileSystem.clear_instance_cache()
            s3fs.S3FileSystem().mkdir(bucket)
            yield f"s3://{bucket}"
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()
