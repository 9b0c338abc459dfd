"""What boto3 programs do, against the endpoint of the environment. Prints one JSON line for each test as it ends."""

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request
import uuid

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError, MissingDependencyException

MIB = 1024 * 1024


def client(**config):
    return boto3.client("s3", config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, **config))


def code_of(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def noise(name: str, size: int) -> bytes:
    """Bytes without repetition, the same for the same name."""
    blocks = (hashlib.sha512(f"{name} {n}".encode()).digest() for n in range(size // 64 + 1))
    return b"".join(blocks)[:size]


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


class Objects(Case):
    def test_puts_and_gets_bytes_text_and_files(self):
        for key, body in [("bytes", b"\x00\xff"), ("file", io.BytesIO(b"from a file")), ("empty", b"")]:
            expected = body if isinstance(body, bytes) else body.getvalue()
            answer = self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
            self.assertEqual(answer["ETag"].strip('"'), hashlib.md5(expected).hexdigest())
            got = self.s3.get_object(Bucket=self.bucket, Key=key)
            self.assertEqual(got["Body"].read(), expected)
            self.assertEqual(got["ContentLength"], len(expected))

    def test_says_in_headers_which_commit_answered(self):
        self.s3.put_object(Bucket=self.bucket, Key="a", Body=b"a")
        headers = self.s3.head_object(Bucket=self.bucket, Key="a")["ResponseMetadata"]["HTTPHeaders"]
        self.assertEqual(headers["x-sluice-repo"], self.repo)
        self.assertEqual(headers["x-sluice-branch"], "master")
        self.assertRegex(headers["x-sluice-commit"], "^[0-9a-f]{32}$")

    def test_streams_a_body_and_reads_a_range_of_it(self):
        data = noise("stream", 3 * MIB)
        self.s3.put_object(Bucket=self.bucket, Key="s", Body=data)
        body = self.s3.get_object(Bucket=self.bucket, Key="s")["Body"]
        self.assertEqual(b"".join(body.iter_chunks(100_000)), data)
        part = self.s3.get_object(Bucket=self.bucket, Key="s", Range="bytes=1048570-1048590")
        self.assertEqual(part["Body"].read(), data[1048570:1048591])
        self.assertEqual(part["ResponseMetadata"]["HTTPStatusCode"], 206)

    def test_raises_the_exceptions_that_programs_catch(self):
        with self.assertRaises(self.s3.exceptions.NoSuchKey):
            self.s3.get_object(Bucket=self.bucket, Key="nothing")
        with self.assertRaises(self.s3.exceptions.NoSuchBucket):
            self.s3.list_objects_v2(Bucket="master.nothing-here")
        self.assertRefused("404", self.s3.head_object, Bucket=self.bucket, Key="nothing")
        self.assertRefused("NoSuchUpload", self.s3.abort_multipart_upload, Bucket=self.bucket, Key="a", UploadId="none")

    def test_keeps_metadata_and_unicode_keys(self):
        for key in ["ä/ö ü", "日本/語", "a+b&c=d?e", "x" * 1024]:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=key.encode(), Metadata={"name": "value"}, ContentType="text/x")
            got = self.s3.get_object(Bucket=self.bucket, Key=key)
            self.assertEqual((got["Body"].read(), got["Metadata"], got["ContentType"]), (key.encode(), {"name": "value"}, "text/x"))
        self.assertRefused("KeyTooLongError", self.s3.put_object, Bucket=self.bucket, Key="x" * 1025, Body=b"")

    def test_writes_conditionally(self):
        first = self.s3.put_object(Bucket=self.bucket, Key="lock", Body=b"1", IfNoneMatch="*")
        self.assertRefused("PreconditionFailed", self.s3.put_object, Bucket=self.bucket, Key="lock", Body=b"2", IfNoneMatch="*")
        self.s3.put_object(Bucket=self.bucket, Key="lock", Body=b"3", IfMatch=first["ETag"])
        self.assertRefused("PreconditionFailed", self.s3.put_object, Bucket=self.bucket, Key="lock", Body=b"4", IfMatch=first["ETag"])
        self.assertEqual(self.s3.get_object(Bucket=self.bucket, Key="lock")["Body"].read(), b"3")

    def test_lets_one_of_many_racing_writers_create_a_file(self):
        results, barrier = [], threading.Barrier(8)

        def race(number):
            own = client()
            barrier.wait()
            try:
                own.put_object(Bucket=self.bucket, Key="race", Body=str(number).encode(), IfNoneMatch="*")
                results.append(number)
            except ClientError as error:
                if code_of(error) not in ("PreconditionFailed", "ConditionalRequestConflict"):
                    results.append(code_of(error))

        threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        self.assertEqual(len(results), 1, results)
        self.assertEqual(self.s3.get_object(Bucket=self.bucket, Key="race")["Body"].read(), str(results[0]).encode())

    def test_deletes_many_and_copies(self):
        for n in range(30):
            self.s3.put_object(Bucket=self.bucket, Key=f"d/{n}", Body=b"x")
        self.s3.copy_object(Bucket=self.bucket, Key="copy", CopySource={"Bucket": self.bucket, "Key": "d/1"})
        answer = self.s3.delete_objects(Bucket=self.bucket, Delete={"Objects": [{"Key": f"d/{n}"} for n in range(30)]})
        self.assertEqual(len(answer["Deleted"]), 30)
        keys = [entry["Key"] for entry in self.s3.list_objects_v2(Bucket=self.bucket)["Contents"]]
        self.assertEqual(keys, ["copy"])


class Integrity(Case):
    def test_works_with_checksums_whenever_supported_and_only_when_required(self):
        for write in ("when_supported", "when_required"):
            for read in ("when_supported", "when_required"):
                s3 = client(request_checksum_calculation=write, response_checksum_validation=read)
                key = f"{write}-{read}"
                s3.put_object(Bucket=self.bucket, Key=key, Body=b"checked")
                self.assertEqual(s3.get_object(Bucket=self.bucket, Key=key)["Body"].read(), b"checked")
                s3.upload_fileobj(io.BytesIO(noise(key, 9 * MIB)), self.bucket, f"{key}-large")
                into = io.BytesIO()
                s3.download_fileobj(self.bucket, f"{key}-large", into)
                self.assertEqual(into.getvalue(), noise(key, 9 * MIB))

    def test_takes_every_algorithm_that_this_botocore_can_compute(self):
        for name in ("CRC32", "SHA1", "SHA256", "CRC32C", "CRC64NVME"):
            try:
                put = self.s3.put_object(Bucket=self.bucket, Key=name, Body=b"123456789", ChecksumAlgorithm=name)
            except MissingDependencyException:
                continue
            got = self.s3.get_object(Bucket=self.bucket, Key=name, ChecksumMode="ENABLED")
            self.assertEqual(got[f"Checksum{name}"], put[f"Checksum{name}"])
            self.assertEqual(got["Body"].read(), b"123456789")

    def test_gives_known_values_for_checksums_sent_as_headers(self):
        known = {"CRC32": "y/Q5Jg==", "CRC32C": "4waSgw==", "CRC64NVME": "rosUhgp5mIg=", "SHA1": "98O8HYCOBHMq32eZZczDTKeuNEE="}
        for name, value in known.items():
            self.s3.put_object(Bucket=self.bucket, Key=name, Body=b"123456789", **{f"Checksum{name}": value})
            head = self.s3.head_object(Bucket=self.bucket, Key=name, ChecksumMode="ENABLED")
            self.assertEqual(head[f"Checksum{name}"], value)
            wrong = "AAAAAAAAAAA=" if name == "CRC64NVME" else "AAAAAA==" if name != "SHA1" else "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
            with self.assertRaises(ClientError, msg=name):
                self.s3.put_object(Bucket=self.bucket, Key=f"no-{name}", Body=b"123456789", **{f"Checksum{name}": wrong})
            self.assertRefused("404", self.s3.head_object, Bucket=self.bucket, Key=f"no-{name}")


class Transfers(Case):
    def test_sends_and_fetches_a_large_file_in_parallel_parts(self):
        data = noise("large", 40 * MIB)
        config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=8)
        seen = []
        self.s3.upload_fileobj(io.BytesIO(data), self.bucket, "large", Config=config, Callback=seen.append)
        self.assertEqual(sum(seen), len(data))
        head = self.s3.head_object(Bucket=self.bucket, Key="large")
        self.assertRegex(head["ETag"], '^"[0-9a-f]{32}-5"$')
        into = io.BytesIO()
        self.s3.download_fileobj(self.bucket, "large", into, Config=config)
        self.assertEqual(into.getvalue(), data)

    def test_uploads_from_many_threads_at_once(self):
        resource_errors = []

        def upload(number):
            try:
                own = client()
                for n in range(10):
                    own.put_object(Bucket=self.bucket, Key=f"{number}/{n}", Body=f"{number} {n}".encode())
            except Exception as error:
                resource_errors.append(error)

        threads = [threading.Thread(target=upload, args=(n,)) for n in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        self.assertEqual(resource_errors, [])
        keys = [e["Key"] for p in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket) for e in p["Contents"]]
        self.assertEqual(len(keys), 80)


class Listing(Case):
    def setUp(self):
        super().setUp()
        for n in range(25):
            self.s3.put_object(Bucket=self.bucket, Key=f"dir{n % 5}/{n:02}", Body=b"x")

    def test_pages_through_everything_in_order(self):
        for operation in ("list_objects_v2", "list_objects"):
            pages = list(self.s3.get_paginator(operation).paginate(Bucket=self.bucket, PaginationConfig={"PageSize": 4}))
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
            self.assertEqual(len(pages), 7, operation)
            self.assertEqual(keys, sorted(keys))
            self.assertEqual(len(keys), 25)

    def test_pages_through_prefixes(self):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Delimiter="/", PaginationConfig={"PageSize": 2})
        prefixes = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
        self.assertEqual(prefixes, [f"dir{n}/" for n in range(5)])

    def test_counts_and_echoes(self):
        page = self.s3.list_objects_v2(Bucket=self.bucket, Prefix="dir1/", MaxKeys=3, StartAfter="dir1/01", FetchOwner=True)
        self.assertEqual((page["KeyCount"], page["IsTruncated"], page["StartAfter"], page["MaxKeys"]), (3, True, "dir1/01", 3))
        self.assertIn("Owner", page["Contents"][0])
        self.assertEqual(self.s3.list_objects_v2(Bucket=self.bucket, MaxKeys=0)["KeyCount"], 0)

    def test_lists_parts_and_uploads_by_pages(self):
        upload = self.s3.create_multipart_upload(Bucket=self.bucket, Key="up")["UploadId"]
        for number in (1, 2, 3):
            self.s3.upload_part(Bucket=self.bucket, Key="up", UploadId=upload, PartNumber=number, Body=b"x" * number)
        pages = self.s3.get_paginator("list_parts").paginate(Bucket=self.bucket, Key="up", UploadId=upload, PaginationConfig={"PageSize": 2})
        self.assertEqual([part["Size"] for page in pages for part in page["Parts"]], [1, 2, 3])
        uploads = self.s3.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket)
        self.assertEqual([u["UploadId"] for page in uploads for u in page["Uploads"]], [upload])
        self.s3.abort_multipart_upload(Bucket=self.bucket, Key="up", UploadId=upload)


class Waiting(Case):
    def test_waits_for_buckets_and_objects(self):
        threading.Timer(0.3, lambda: client().put_object(Bucket=self.bucket, Key="late", Body=b"x")).start()
        self.s3.get_waiter("object_exists").wait(Bucket=self.bucket, Key="late", WaiterConfig={"Delay": 1, "MaxAttempts": 20})
        self.s3.get_waiter("bucket_exists").wait(Bucket=self.bucket, WaiterConfig={"Delay": 1, "MaxAttempts": 3})
        self.s3.delete_object(Bucket=self.bucket, Key="late")
        self.s3.get_waiter("object_not_exists").wait(Bucket=self.bucket, Key="late", WaiterConfig={"Delay": 1, "MaxAttempts": 3})


class Presigned(Case):
    def presign(self, operation, **parameters):
        signer = client(signature_version="s3v4")
        return signer.generate_presigned_url(operation, Params={"Bucket": self.bucket, "Key": "by link", **parameters}, ExpiresIn=60)

    def test_reads_and_writes_by_link(self):
        request = urllib.request.Request(self.presign("put_object"), data=b"linked", method="PUT")
        self.assertEqual(urllib.request.urlopen(request).status, 200)
        self.assertEqual(urllib.request.urlopen(self.presign("get_object")).read(), b"linked")
        shown = urllib.request.urlopen(self.presign("get_object", ResponseContentType="text/x-shown"))
        self.assertEqual(shown.headers["content-type"], "text/x-shown")

    def test_refuses_a_link_that_was_changed_or_is_for_another_verb(self):
        self.s3.put_object(Bucket=self.bucket, Key="by link", Body=b"x")
        link = self.presign("get_object")
        for request in (link.replace("by%20link", "another"), urllib.request.Request(link, method="DELETE")):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request)
            self.assertEqual(caught.exception.code, 403)
        self.s3.head_object(Bucket=self.bucket, Key="by link")


class Commits(Case):
    def flushed(self):
        """Waits by `.sluice/flush.json` until the batch is a commit, and names it."""
        verdict = json.loads(self.s3.get_object(Bucket=self.bucket, Key=".sluice/flush.json")["Body"].read())
        headers = self.s3.list_objects_v2(Bucket=self.bucket, MaxKeys=1)["ResponseMetadata"]["HTTPHeaders"]
        return headers["x-sluice-commit"], verdict

    def test_reads_a_commit_that_never_changes(self):
        self.s3.put_object(Bucket=self.bucket, Key="a", Body=b"old")
        commit, _ = self.flushed()
        self.s3.put_object(Bucket=self.bucket, Key="a", Body=b"new")
        self.s3.put_object(Bucket=self.bucket, Key="b", Body=b"new")
        snapshot = f"{commit}.{self.repo}"
        self.assertEqual(self.s3.get_object(Bucket=snapshot, Key="a")["Body"].read(), b"old")
        self.assertEqual([e["Key"] for e in self.s3.list_objects_v2(Bucket=snapshot)["Contents"]], ["a"])
        self.assertEqual(self.s3.get_object(Bucket=self.bucket, Key="a")["Body"].read(), b"new")
        self.assertEqual(self.s3.get_object(Bucket=self.repo, Key="a")["Body"].read(), b"new")
        for call in (self.s3.put_object, self.s3.delete_object):
            arguments = {"Body": b"x"} if call == self.s3.put_object else {}
            self.assertRefused("AccessDenied", call, Bucket=snapshot, Key="a", **arguments)

    def test_answers_flush_json_to_head_and_get_alike(self):
        self.s3.put_object(Bucket=self.bucket, Key="a", Body=b"x")
        head = self.s3.head_object(Bucket=self.bucket, Key=".sluice/flush.json")
        got = self.s3.get_object(Bucket=self.bucket, Key=".sluice/flush.json")
        body = got["Body"].read()
        self.assertEqual((head["ETag"], head["ContentLength"]), (got["ETag"], len(body)))
        json.loads(body)
        into = io.BytesIO()
        self.s3.download_fileobj(self.bucket, ".sluice/flush.json", into)
        self.assertEqual(into.getvalue(), body)

    def test_refuses_a_wrong_secret(self):
        intruder = boto3.client("s3", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key="x" * 40)
        self.assertRefused("SignatureDoesNotMatch", intruder.put_object, Bucket=self.bucket, Key="no", Body=b"no")
        self.assertRefused("404", self.s3.head_object, Bucket=self.bucket, Key="no")


class Summary(Case):
    """The second example: CSV files in, one summary out, read at a fixed commit by pandas."""

    def test_reads_the_summary_of_one_commit_with_pandas(self):
        try:
            import pandas  # noqa: F401
        except ImportError:
            self.skipTest("pandas is not installed")
        examples = os.environ["SUITE_EXAMPLES"]
        self.s3.create_bucket(Bucket="master.measurements")
        for name in sorted(os.listdir(f"{examples}/summary/data")):
            self.s3.upload_file(f"{examples}/summary/data/{name}", "master.measurements", name)
        sluice = [os.environ["SUITE_NODE"], os.environ["SUITE_SLUICE"]]
        subprocess.run([*sluice, "pipeline", "create", "-f", f"{examples}/summary/pipeline.json"], check=True, capture_output=True)
        subprocess.run([*sluice, "flush", "measurements@master"], check=True, capture_output=True)
        listed = subprocess.run([*sluice, "commit", "list", "measurements", "--json"], check=True, capture_output=True)
        commit = json.loads(listed.stdout)[0]["id"]
        shown = subprocess.run([sys.executable, f"{examples}/summary/read_summary.py", commit], check=True, capture_output=True, text=True)
        self.assertIn(f"measurements@{commit}", shown.stdout)
        self.assertIn("mean", shown.stdout)


class Lines(unittest.TestResult):
    """One JSON line for each test."""

    def say(self, test, outcome, detail=""):
        print(json.dumps({"name": f"{type(test).__name__}: {test._testMethodName[5:].replace('_', ' ')}", "outcome": outcome, "detail": detail}), flush=True)

    def addSuccess(self, test):
        self.say(test, "passed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.say(test, "failed", self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self.say(test, "failed", self.errors[-1][1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.say(test, "skipped", reason)


if __name__ == "__main__":
    started = time.time()
    result = Lines()
    unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__]).run(result)
    print(json.dumps({"name": "all", "outcome": "ended", "detail": f"{time.time() - started:.1f} s"}))
    sys.exit(0 if result.wasSuccessful() else 1)
