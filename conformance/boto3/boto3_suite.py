"""What boto3 programs do with objects: put, get, list, transfer, sign, wait; with integrity protections on and off."""

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from boto3_case import Case, client, code_of
from botocore.exceptions import ClientError, MissingDependencyException
from lines import MIB, noise, run, settings, sluice


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

    def test_lets_one_of_fifty_parallel_writers_create_a_file(self):
        for key in ("race", "scratch/_temporary/race"):
            outcomes, barrier, shared = [], threading.Barrier(50), client(max_pool_connections=50)

            def race(number, key=key, outcomes=outcomes, barrier=barrier, shared=shared):
                barrier.wait()
                try:
                    shared.put_object(Bucket=self.bucket, Key=key, Body=str(number).encode(), IfNoneMatch="*")
                    outcomes.append((200, number))
                except ClientError as error:
                    outcomes.append((error.response["ResponseMetadata"]["HTTPStatusCode"], code_of(error)))

            threads = [threading.Thread(target=race, args=(n,)) for n in range(50)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            winners = [number for status, number in outcomes if status == 200]
            self.assertEqual((len(outcomes), len(winners)), (50, 1), outcomes)
            self.assertLessEqual({status for status, _ in outcomes}, {200, 409, 412}, outcomes)
            self.assertEqual(self.get(key), str(winners[0]).encode())

    def test_deletes_many_and_copies(self):
        for n in range(30):
            self.s3.put_object(Bucket=self.bucket, Key=f"d/{n}", Body=b"x")
        self.s3.copy_object(Bucket=self.bucket, Key="copy", CopySource={"Bucket": self.bucket, "Key": "d/1"})
        answer = self.s3.delete_objects(Bucket=self.bucket, Delete={"Objects": [{"Key": f"d/{n}"} for n in range(30)]})
        self.assertEqual(len(answer["Deleted"]), 30)
        keys = [entry["Key"] for entry in self.s3.list_objects_v2(Bucket=self.bucket)["Contents"]]
        self.assertEqual(keys, ["copy"])


class Guide(Case):
    def test_works_with_the_client_of_its_guide(self):
        guided = settings("boto3")["s3"]
        guided.put_object(Bucket=self.bucket, Key="a", Body=b"there")
        self.assertEqual(self.get("a"), b"there")
        link = guided.generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": "a"})
        self.assertEqual(urllib.request.urlopen(link).read(), b"there")


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

    def test_copies_a_large_object_in_parts_without_fetching_it(self):
        self.s3.upload_fileobj(io.BytesIO(noise("copied", 12 * MIB)), self.bucket, "from")
        config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
        self.s3.copy({"Bucket": self.bucket, "Key": "from"}, self.bucket, "to", Config=config)
        self.assertEqual(self.get("to"), noise("copied", 12 * MIB))
        self.assertRegex(self.s3.head_object(Bucket=self.bucket, Key="to")["ETag"], '^"[0-9a-f]{32}-3"$')

    def test_sends_a_stream_whose_length_nobody_knows(self):
        class Endless(io.RawIOBase):
            def __init__(self, data):
                self.rest = io.BytesIO(data)

            def readable(self):
                return True

            def read(self, size=-1):
                return self.rest.read(size)

        self.s3.upload_fileobj(Endless(noise("unknown", 18 * MIB)), self.bucket, "stream")
        self.assertEqual(self.get("stream"), noise("unknown", 18 * MIB))

    def test_gives_checksums_of_the_whole_and_of_parts(self):
        for kind, algorithm in (("FULL_OBJECT", "CRC32"), ("COMPOSITE", "SHA256")):
            upload = self.s3.create_multipart_upload(Bucket=self.bucket, Key=kind, ChecksumAlgorithm=algorithm, ChecksumType=kind)["UploadId"]
            parts = []
            for number, size in ((1, 5 * MIB), (2, 1000)):
                sent = self.s3.upload_part(Bucket=self.bucket, Key=kind, UploadId=upload, PartNumber=number, Body=noise(str(number), size), ChecksumAlgorithm=algorithm)
                parts.append({"PartNumber": number, "ETag": sent["ETag"], f"Checksum{algorithm}": sent[f"Checksum{algorithm}"]})
            done = self.s3.complete_multipart_upload(Bucket=self.bucket, Key=kind, UploadId=upload, MultipartUpload={"Parts": parts})
            self.assertEqual((done["ChecksumType"], done[f"Checksum{algorithm}"].endswith("-2")), (kind, kind == "COMPOSITE"))
            head = self.s3.head_object(Bucket=self.bucket, Key=kind, ChecksumMode="ENABLED")
            self.assertEqual(head[f"Checksum{algorithm}"], done[f"Checksum{algorithm}"])

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
        sluice("pipeline", "create", "-f", f"{examples}/summary/pipeline.json")
        sluice("flush", "measurements@master")
        commit = json.loads(sluice("commit", "list", "measurements", "--json"))[0]["id"]
        shown = subprocess.run([sys.executable, f"{examples}/summary/read_summary.py", commit], check=True, capture_output=True, text=True)
        self.assertIn(f"measurements@{commit}", shown.stdout)
        self.assertIn("mean", shown.stdout)


if __name__ == "__main__":
    run(f"boto3 {boto3.__version__}")
