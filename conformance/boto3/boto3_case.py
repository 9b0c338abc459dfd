"""What the boto3 suites share: the client of the guide, and a bucket for each test."""

import unittest
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def client(**config):
    return boto3.client("s3", config=Config(**{"s3": {"addressing_style": "path"}, "retries": {"max_attempts": 1}, **config}))


def code_of(error: ClientError) -> str:
    return error.response["Error"]["Code"]


class Case(unittest.TestCase):
    def setUp(self):
        self.s3 = client()
        self.repo = f"r{uuid.uuid4().hex[:12]}"
        self.bucket = f"master.{self.repo}"
        self.s3.create_bucket(Bucket=self.bucket)

    def assertRefused(self, code, call, **arguments):
        with self.assertRaises(ClientError) as caught:
            call(**arguments)
        self.assertEqual(code_of(caught.exception), code)
        return caught.exception.response

    def put(self, key: str, body: bytes = b"x", **more) -> dict:
        return self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **more)

    def get(self, key: str, bucket: str = "", **more) -> bytes:
        return self.s3.get_object(Bucket=bucket or self.bucket, Key=key, **more)["Body"].read()
