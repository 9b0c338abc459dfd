"""What boto3 programs find beside objects: versions, tags, CORS, attributes, renames; and transactions, credentials, snapshots."""

import io
import re
import threading
import urllib.error
import urllib.request

import boto3
from boto3_case import Case, client, code_of
from botocore.exceptions import ClientError
from lines import ENDPOINT, MIB, commits_of, noise, run, sluice


class Versions(Case):
    def versions(self, **more) -> list:
        """Versions and markers in the order in which the pages have them, each kind for itself."""
        pages = list(self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, **more))
        kinds = ("Versions", "DeleteMarkers")
        return [[entry for page in pages for entry in page.get(kind, [])] for kind in kinds]

    def test_lists_versions_and_markers_by_pages_newest_first(self):
        ids = [self.put("a", str(n).encode())["VersionId"] for n in range(7)]
        marker = self.s3.delete_object(Bucket=self.bucket, Key="a")
        self.put("b")
        self.assertTrue(marker["DeleteMarker"])
        for size in (1, 2, 3, 100):
            versions, markers = self.versions(PaginationConfig={"PageSize": size})
            self.assertEqual([(v["Key"], v["VersionId"]) for v in versions[:-1]], [("a", i) for i in reversed(ids)], size)
            self.assertEqual([(v["Key"], v["IsLatest"]) for v in versions if v["IsLatest"]], [("b", True)])
            self.assertEqual([(m["VersionId"], m["IsLatest"]) for m in markers], [(marker["VersionId"], True)])
        for n, version in enumerate(ids):
            self.assertEqual(self.get("a", VersionId=version), str(n).encode())

    def test_lists_versions_with_a_delimiter_and_a_prefix(self):
        for key in ("x/1", "x/2", "y/1", "z"):
            self.put(key)
            self.put(key)
        page = self.s3.list_object_versions(Bucket=self.bucket, Delimiter="/")
        self.assertEqual([p["Prefix"] for p in page["CommonPrefixes"]], ["x/", "y/"])
        self.assertEqual([v["Key"] for v in page["Versions"]], ["z", "z"])
        self.assertEqual(len(self.versions(Prefix="x/")[0]), 4)

    def test_brings_the_version_before_back_as_it_was(self):
        first = self.put("a", b"first")
        before = self.s3.head_object(Bucket=self.bucket, Key="a")
        second = self.put("a", b"second")
        self.s3.delete_object(Bucket=self.bucket, Key="a", VersionId=second["VersionId"])
        after = self.s3.head_object(Bucket=self.bucket, Key="a")
        for name in ("VersionId", "ETag", "LastModified", "ContentLength"):
            self.assertEqual(after[name], before[name], name)
        self.assertEqual([v["VersionId"] for v in self.versions()[0]], [first["VersionId"]])
        self.assertRefused("NoSuchVersion", self.s3.get_object, Bucket=self.bucket, Key="a", VersionId=second["VersionId"])

    def test_undoes_a_deletion_by_deleting_its_marker(self):
        self.put("a", b"kept")
        marker = self.s3.delete_object(Bucket=self.bucket, Key="a")
        answer = self.assertRefused("404", self.s3.head_object, Bucket=self.bucket, Key="a")
        self.assertEqual(answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"], "true")
        self.assertRefused("MethodNotAllowed", self.s3.get_object, Bucket=self.bucket, Key="a", VersionId=marker["VersionId"])
        self.s3.delete_object(Bucket=self.bucket, Key="a", VersionId=marker["VersionId"])
        self.assertEqual(self.get("a"), b"kept")

    def test_deletes_versions_and_keys_in_one_request(self):
        old = self.put("a", b"1")["VersionId"]
        self.put("a", b"2")
        self.put("b")
        answer = self.s3.delete_objects(Bucket=self.bucket, Delete={"Objects": [{"Key": "a", "VersionId": old}, {"Key": "b"}]})
        deleted = {entry["Key"]: entry for entry in answer["Deleted"]}
        self.assertEqual((deleted["a"]["VersionId"], deleted["b"]["DeleteMarker"]), (old, True))
        self.assertEqual(self.get("a"), b"2")
        self.assertRefused("404", self.s3.head_object, Bucket=self.bucket, Key="b")

    def test_copies_and_reads_old_versions(self):
        old = self.put("a", b"old")["VersionId"]
        self.put("a", b"new")
        copied = self.s3.copy_object(Bucket=self.bucket, Key="a", CopySource={"Bucket": self.bucket, "Key": "a", "VersionId": old})
        self.assertEqual(copied["CopySourceVersionId"], old)
        self.assertEqual(self.get("a"), b"old")
        into = self.s3.get_object(Bucket=self.bucket, Key="a", VersionId=old, Range="bytes=1-")["Body"].read()
        self.assertEqual(into, b"ld")

    def test_empties_a_bucket_through_the_resource(self):
        for n in range(5):
            self.put("a", str(n).encode())
        self.s3.delete_object(Bucket=self.bucket, Key="a")
        bucket = boto3.resource("s3").Bucket(self.bucket)
        bucket.object_versions.delete()
        self.assertEqual(self.versions(), [[], []])
        bucket.delete()


class Tags(Case):
    def tags(self, key: str, **more) -> dict:
        found = self.s3.get_object_tagging(Bucket=self.bucket, Key=key, **more)["TagSet"]
        return {tag["Key"]: tag["Value"] for tag in found}

    def test_tags_objects_when_they_are_written_and_afterwards(self):
        self.put("a", Tagging="stage=raw&team=x%20y")
        self.assertEqual(self.tags("a"), {"stage": "raw", "team": "x y"})
        self.assertEqual(self.s3.get_object(Bucket=self.bucket, Key="a")["TagCount"], 2)
        self.s3.put_object_tagging(Bucket=self.bucket, Key="a", Tagging={"TagSet": [{"Key": "stage", "Value": "clean"}]})
        self.assertEqual(self.tags("a"), {"stage": "clean"})
        source = {"Bucket": self.bucket, "Key": "a"}
        self.s3.copy_object(Bucket=self.bucket, Key="kept", CopySource=source)
        self.s3.copy_object(Bucket=self.bucket, Key="replaced", CopySource=source, TaggingDirective="REPLACE", Tagging="n=1")
        self.assertEqual((self.tags("kept"), self.tags("replaced")), ({"stage": "clean"}, {"n": "1"}))
        self.s3.delete_object_tagging(Bucket=self.bucket, Key="a")
        self.assertEqual(self.tags("a"), {})
        self.assertEqual(len(self.s3.list_object_versions(Bucket=self.bucket, Prefix="a")["Versions"]), 1, "a tag is no version")

    def test_keeps_the_tags_of_each_version(self):
        first = self.put("a", Tagging="n=1")["VersionId"]
        self.put("a", Tagging="n=2")
        self.assertEqual((self.tags("a", VersionId=first), self.tags("a")), ({"n": "1"}, {"n": "2"}))

    def test_tags_uploads_in_parts(self):
        self.s3.upload_fileobj(io.BytesIO(noise("t", 9 * MIB)), self.bucket, "large", ExtraArgs={"Tagging": "from=parts"})
        self.assertEqual(self.tags("large"), {"from": "parts"})

    def test_refuses_too_many_and_too_long_tags(self):
        self.put("a")
        many = [{"Key": str(n), "Value": ""} for n in range(11)]
        long = [{"Key": "k" * 129, "Value": ""}]
        twice = [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]
        for tags in (many, long, twice):
            with self.assertRaises(ClientError) as caught:
                self.s3.put_object_tagging(Bucket=self.bucket, Key="a", Tagging={"TagSet": tags})
            self.assertIn(code_of(caught.exception), ("BadRequest", "InvalidTag"))
        self.assertEqual(self.tags("a"), {})

    def test_tags_buckets(self):
        self.assertRefused("NoSuchTagSet", self.s3.get_bucket_tagging, Bucket=self.bucket)
        self.s3.put_bucket_tagging(Bucket=self.bucket, Tagging={"TagSet": [{"Key": "cost", "Value": "1"}]})
        self.assertEqual(self.s3.get_bucket_tagging(Bucket=self.bucket)["TagSet"], [{"Key": "cost", "Value": "1"}])
        self.s3.delete_bucket_tagging(Bucket=self.bucket)
        self.assertRefused("NoSuchTagSet", self.s3.get_bucket_tagging, Bucket=self.bucket)


class Settings(Case):
    def test_keeps_cors_rules_and_answers_by_them(self):
        rules = [{"AllowedOrigins": ["https://*.example"], "AllowedMethods": ["GET", "PUT"], "AllowedHeaders": ["*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 9}]
        self.assertRefused("NoSuchCORSConfiguration", self.s3.get_bucket_cors, Bucket=self.bucket)
        self.s3.put_bucket_cors(Bucket=self.bucket, CORSConfiguration={"CORSRules": rules})
        self.assertEqual(self.s3.get_bucket_cors(Bucket=self.bucket)["CORSRules"], rules)
        self.put("a")
        link = client(signature_version="s3v4").generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": "a"})
        answer = urllib.request.urlopen(urllib.request.Request(link, headers={"Origin": "https://app.example"}))
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://app.example")
        preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
        asked = urllib.request.Request(f"{ENDPOINT}/{self.bucket}/a", method="OPTIONS", headers=preflight)
        self.assertEqual(urllib.request.urlopen(asked).headers["access-control-max-age"], "9")
        asked = urllib.request.Request(f"{ENDPOINT}/{self.bucket}/a", method="OPTIONS", headers={**preflight, "Origin": "https://other"})
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(asked)
        self.assertEqual(caught.exception.code, 403)
        self.s3.delete_bucket_cors(Bucket=self.bucket)

    def test_answers_probes_as_not_configured(self):
        for code, call in (
            ("NoSuchLifecycleConfiguration", self.s3.get_bucket_lifecycle_configuration),
            ("NoSuchBucketPolicy", self.s3.get_bucket_policy),
            ("NoSuchPublicAccessBlockConfiguration", self.s3.get_public_access_block),
        ):
            self.assertRefused(code, call, Bucket=self.bucket)
        self.assertEqual([g["Permission"] for g in self.s3.get_bucket_acl(Bucket=self.bucket)["Grants"]], ["FULL_CONTROL"])


class Attributes(Case):
    def test_tells_attributes_and_parts(self):
        upload = self.s3.create_multipart_upload(Bucket=self.bucket, Key="a", ChecksumAlgorithm="SHA256")["UploadId"]
        parts = []
        for number in (1, 2, 3):
            body = noise(str(number), 5 * MIB if number < 3 else 10)
            sent = self.s3.upload_part(Bucket=self.bucket, Key="a", UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256")
            parts.append({"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": sent["ChecksumSHA256"]})
        done = self.s3.complete_multipart_upload(Bucket=self.bucket, Key="a", UploadId=upload, MultipartUpload={"Parts": parts})
        wanted = ["ETag", "Checksum", "ObjectParts", "ObjectSize", "StorageClass"]
        told = self.s3.get_object_attributes(Bucket=self.bucket, Key="a", ObjectAttributes=wanted, MaxParts=2)
        self.assertEqual((told["ETag"], told["ObjectSize"]), (done["ETag"].strip('"'), 10 * MIB + 10))
        self.assertEqual(told["Checksum"]["ChecksumSHA256"], done["ChecksumSHA256"])
        listed = told["ObjectParts"]
        self.assertEqual((listed["TotalPartsCount"], listed["IsTruncated"], len(listed["Parts"])), (3, True, 2))
        self.assertEqual(listed["Parts"][0]["ChecksumSHA256"], parts[0]["ChecksumSHA256"])
        rest = self.s3.get_object_attributes(Bucket=self.bucket, Key="a", ObjectAttributes=["ObjectParts"], PartNumberMarker=listed["NextPartNumberMarker"])
        self.assertEqual([part["Size"] for part in rest["ObjectParts"]["Parts"]], [10])


class Renames(Case):
    def test_renames_at_once_and_under_conditions(self):
        etag = self.put("from", b"moved")["ETag"]
        self.put("there", b"there")
        self.assertRefused("PreconditionFailed", self.s3.rename_object, Bucket=self.bucket, Key="there", RenameSource="from", DestinationIfNoneMatch="*")
        self.s3.rename_object(Bucket=self.bucket, Key="to", RenameSource="from", SourceIfMatch=etag, DestinationIfNoneMatch="*")
        self.assertEqual(self.get("to"), b"moved")
        self.assertRefused("404", self.s3.head_object, Bucket=self.bucket, Key="from")
        self.assertEqual(self.get("there"), b"there")


class Transactions(Case):
    def setUp(self):
        super().setUp()
        self.tx = f"tx-load.{self.bucket}"

    def finish(self, bucket: str, message: bytes):
        self.s3.put_object(Bucket=bucket, Key=".sluice/commit", Body=message)

    def keys(self, bucket: str) -> list:
        return [entry["Key"] for entry in self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def test_shows_all_of_a_transaction_at_once_and_as_one_commit(self):
        self.put("kept", b"before")
        self.put("gone", b"before")
        self.s3.create_bucket(Bucket=self.tx)
        for n in range(10):
            self.s3.put_object(Bucket=self.tx, Key=f"in/{n}", Body=b"x")
        self.s3.delete_object(Bucket=self.tx, Key="gone")
        self.s3.upload_fileobj(io.BytesIO(noise("tx", 9 * MIB)), self.tx, "large")
        self.assertEqual(self.keys(self.bucket), ["gone", "kept"])
        self.assertEqual(len(self.keys(self.tx)), 12)
        self.finish(self.tx, "a load, größer".encode())
        self.assertEqual(len(self.keys(self.bucket)), 12)
        self.assertEqual(self.get("large"), noise("tx", 9 * MIB))
        newest, *older = commits_of(self.repo)
        self.assertEqual((newest["message"], newest["files"], len(older)), ("a load, größer", 12, 1))
        self.assertRefused("404", self.s3.head_bucket, Bucket=self.tx)

    def test_names_what_was_changed_on_both_sides_and_stays_open(self):
        self.s3.create_bucket(Bucket=self.tx)
        self.s3.put_object(Bucket=self.tx, Key="both", Body=b"mine")
        self.put("both", b"theirs")
        with self.assertRaises(ClientError) as caught:
            self.finish(self.tx, b"late")
        self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], 409)
        self.assertIn("both", str(caught.exception))
        self.assertEqual((self.get("both"), self.get("both", self.tx)), (b"theirs", b"mine"))
        self.s3.delete_object(Bucket=self.bucket, Key="both")

    def test_gives_a_transaction_up(self):
        self.s3.create_bucket(Bucket=self.tx)
        self.s3.put_object(Bucket=self.tx, Key="never", Body=b"x")
        self.s3.delete_bucket(Bucket=self.tx)
        self.assertRefused("404", self.s3.head_bucket, Bucket=self.tx)
        self.assertEqual(self.keys(self.bucket), [])

    def test_keeps_two_transactions_apart(self):
        other = f"tx-other.{self.bucket}"
        for bucket in (self.tx, other):
            self.s3.create_bucket(Bucket=bucket)
            self.s3.put_object(Bucket=bucket, Key=bucket, Body=b"x")
        self.assertEqual((self.keys(self.tx), self.keys(other)), ([self.tx], [other]))
        self.finish(self.tx, b"one")
        self.finish(other, b"two")
        self.assertEqual(self.keys(self.bucket), sorted([self.tx, other]))
        self.assertEqual([commit["message"] for commit in commits_of(self.repo)], ["two", "one"])

    def test_ends_a_batch_with_a_message(self):
        self.put("a")
        self.finish(self.bucket, b"half of it")
        self.put("b")
        self.finish(self.bucket, b"the rest")
        self.assertEqual([commit["message"] for commit in commits_of(self.repo)], ["the rest", "half of it"])


class Credentials(Case):
    def test_stays_within_temporary_credentials(self):
        self.put("incoming/a", b"before")
        self.put("other", b"theirs")
        printed = sluice("user", "credentials", "--repo", f"{self.repo}:writer", "--prefix", "incoming/", "--for", "15m")
        found = dict(re.findall(r"^export (AWS_\w+)='?([^'\n]*)'?$", printed, re.MULTILINE))
        session = boto3.Session(found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"], found["AWS_SESSION_TOKEN"])
        guest = session.client("s3", config=client(signature_version="s3v4").meta.config)
        guest.put_object(Bucket=self.bucket, Key="incoming/b", Body=b"mine")
        guest.upload_fileobj(io.BytesIO(noise("guest", 9 * MIB)), self.bucket, "incoming/large")
        self.assertEqual(guest.get_object(Bucket=self.bucket, Key="incoming/a")["Body"].read(), b"before")
        link = guest.generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": "incoming/b"})
        self.assertEqual(urllib.request.urlopen(link).read(), b"mine")
        listed = guest.list_objects_v2(Bucket=self.bucket, Prefix="incoming/")["Contents"]
        self.assertEqual([entry["Key"] for entry in listed], ["incoming/a", "incoming/b", "incoming/large"])
        for call, key in ((guest.get_object, "other"), (guest.delete_object, "other")):
            self.assertRefused("AccessDenied", call, Bucket=self.bucket, Key=key)
        self.assertRefused("AccessDenied", guest.copy_object, Bucket=self.bucket, Key="incoming/stolen", CopySource=f"{self.bucket}/other")
        wrong = boto3.Session(found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"], found["AWS_SESSION_TOKEN"][:-4] + "AAAA")
        with self.assertRaises(ClientError):
            wrong.client("s3", config=self.s3.meta.config).list_buckets()
        self.assertEqual(self.get("other"), b"theirs")


class Snapshots(Case):
    FILES = 12
    REWRITES = 100

    def state(self, bucket: str) -> dict:
        keys = [entry["Key"] for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket) for entry in page.get("Contents", [])]
        return {key: self.get(key, bucket) for key in keys}

    def test_reads_one_state_of_a_commit_while_its_branch_is_rewritten_a_hundred_times(self):
        for n in range(self.FILES):
            self.put(f"f{n}", f"0 {n}".encode())
        commit = commits_of(self.repo)[0]
        snapshot = f"{commit['id']}.{self.repo}"
        expected = {f"f{n}": f"0 {n}".encode() for n in range(self.FILES)}
        failures, done = [], threading.Event()

        def rewrite():
            own = client()
            try:
                for round in range(1, self.REWRITES + 1):
                    for n in range(self.FILES):
                        own.put_object(Bucket=self.bucket, Key=f"f{n}", Body=f"{round} {n}".encode())
                    own.delete_object(Bucket=self.bucket, Key=f"f{round % self.FILES}")
                    own.put_object(Bucket=self.bucket, Key=f"new{round % 3}", Body=b"x")
                    if round % 10 == 0:
                        own.put_object(Bucket=self.bucket, Key=".sluice/commit", Body=str(round).encode())
            except Exception as error:
                failures.append(repr(error))
            finally:
                done.set()

        writer = threading.Thread(target=rewrite)
        writer.start()
        reads = 0
        while reads == 0 or not done.is_set():
            self.assertEqual(self.state(snapshot), expected)
            reads += 1
        writer.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.state(snapshot), expected)
        self.assertNotEqual(self.state(self.bucket), expected)
        self.assertGreaterEqual(len(commits_of(self.repo)), 11)


if __name__ == "__main__":
    run(f"boto3 {boto3.__version__}")
