"""What boto3 programs see of restores, merges, tags of commits and protected branches, and of a collection while they work."""

import threading

import boto3
from boto3_case import Case
from boto3.s3.transfer import TransferConfig
from lines import MIB, noise, run, sluice


class Graph(Case):
    def versions(self, key: str) -> list:
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=key, PaginationConfig={"PageSize": 1})
        return [entry for page in pages for entry in page.get("Versions", [])]

    def flush(self):
        sluice("flush", f"{self.repo}@master")

    def side(self) -> str:
        sluice("branch", "create", f"{self.repo}@side", "--head", "master")
        return f"side.{self.repo}"

    def test_lists_versions_over_a_restore_and_a_merge_and_reads_each(self):
        self.put("a", b"one")
        self.flush()
        side = self.side()
        self.s3.put_object(Bucket=side, Key="a", Body=b"from the side")
        sluice("merge", f"{self.repo}@master", "side")
        self.put("a", b"last")
        self.flush()
        sluice("restore", f"{self.repo}@master^")
        self.assertEqual(self.get("a"), b"from the side")
        found = self.versions("a")
        self.assertEqual([v["IsLatest"] for v in found], [True] + [False] * (len(found) - 1))
        self.assertEqual(found[0]["VersionId"], self.s3.head_object(Bucket=self.bucket, Key="a")["VersionId"])
        bodies = [self.get("a", VersionId=v["VersionId"]) for v in found]
        self.assertEqual((bodies[0], set(bodies)), (b"from the side", {b"one", b"from the side", b"last"}))

    def test_reads_a_tag_as_a_bucket_that_nobody_writes(self):
        self.put("a", b"then")
        self.flush()
        sluice("tag", "create", f"{self.repo}@master", "v1")
        self.put("a", b"now")
        tag = f"v1.{self.repo}"
        self.assertEqual(self.get("a", tag), b"then")
        self.assertRefused("AccessDenied", self.s3.put_object, Bucket=tag, Key="b", Body=b"x")
        self.assertRefused("AccessDenied", self.s3.delete_object, Bucket=tag, Key="a")
        self.assertRefused("AccessDenied", self.s3.create_multipart_upload, Bucket=tag, Key="b")
        self.assertNotIn(tag, [bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]])

    def test_writes_to_a_protected_branch_by_merges_only(self):
        self.put("a", b"kept")
        sluice("branch", "protect", f"{self.repo}@master")
        source = {"Bucket": self.bucket, "Key": "a"}
        self.assertRefused("AccessDenied", self.s3.put_object, Bucket=self.bucket, Key="b", Body=b"x")
        self.assertRefused("AccessDenied", self.s3.copy_object, Bucket=self.bucket, Key="b", CopySource=source)
        self.assertRefused("AccessDenied", self.s3.delete_object, Bucket=self.bucket, Key="a")
        side = self.side()
        self.s3.put_object(Bucket=side, Key="b", Body=b"merged")
        sluice("merge", f"{self.repo}@master", "side")
        self.assertEqual((self.get("a"), self.get("b")), (b"kept", b"merged"))

    def test_loses_nothing_of_uploads_while_unused_content_is_collected(self):
        done = threading.Event()
        failures = []

        def collect():
            try:
                while not done.is_set():
                    sluice("gc")
            except AssertionError as error:
                failures.append(str(error))

        collector = threading.Thread(target=collect)
        collector.start()
        try:
            parts = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
            for n in range(4):
                with open("large", "wb") as file:
                    file.write(noise(f"same {n % 2}", 12 * MIB))
                self.s3.upload_file("large", self.bucket, f"large{n}", Config=parts)
                if n == 1:
                    self.s3.delete_object(Bucket=self.bucket, Key="large0")
        finally:
            done.set()
            collector.join()
        self.assertEqual(failures, [])
        for n in range(1, 4):
            self.assertEqual(self.get(f"large{n}"), noise(f"same {n % 2}", 12 * MIB))


if __name__ == "__main__":
    run(f"boto3 {boto3.__version__}")
