"""The calls of S3A's file system that jobs and people make: files, folders, lists, renames, conditions, and its own settings."""

import concurrent.futures
import os
import subprocess
import uuid

from lines import MIB, ODD_NAMES, commits_of, noise
from spark_session import Case, files_below, filesystem, jvm, path_of, read_text


def write(fs, uri: str, data: bytes = b"x", overwrite: bool = True):
    stream = fs.create(path_of(uri), overwrite)
    stream.write(data)
    stream.close()


def read(fs, uri: str) -> bytes:
    stream = fs.open(path_of(uri))
    try:
        return bytes(jvm.org.apache.commons.io.IOUtils.toByteArray(stream))
    finally:
        stream.close()


class Files(Case):
    def setUp(self):
        super().setUp()
        self.fs = filesystem(self.bucket)

    def test_writes_reads_overwrites_and_deletes(self):
        uri = f"{self.bucket}/a/b"
        write(self.fs, uri, b"first")
        write(self.fs, uri, b"second")
        self.assertEqual(read(self.fs, uri), b"second")
        status = self.fs.getFileStatus(path_of(uri))
        self.assertEqual((status.isFile(), status.getLen()), (True, 6))
        with self.assertRaisesJava("FileAlreadyExists"):
            write(self.fs, uri, b"third", overwrite=False)
        self.assertTrue(self.fs.delete(path_of(uri), False))
        self.assertFalse(self.fs.exists(path_of(uri)))
        with self.assertRaisesJava("FileNotFound"):
            read(self.fs, uri)

    def test_writes_empty_files_and_files_of_many_parts_and_seeks_in_them(self):
        fs = filesystem(self.bucket, fs_s3a_multipart_size="5M")
        try:
            write(fs, f"{self.bucket}/empty", b"")
            self.assertEqual(read(fs, f"{self.bucket}/empty"), b"")
            large = noise("spark", 23 * MIB)
            write(fs, f"{self.bucket}/large", large)
            self.assertEqual(read(self.fs, f"{self.bucket}/large"), large)
            etag = self.fs.getXAttr(path_of(f"{self.bucket}/large"), "header.ETag")
            self.assertRegex(bytes(etag).decode(), "-5")
            stream = self.fs.open(path_of(f"{self.bucket}/large"))
            stream.seek(17 * MIB + 3)
            self.assertEqual(stream.read(), large[17 * MIB + 3])
            stream.seek(5)
            self.assertEqual(stream.read(), large[5])
            stream.close()
        finally:
            fs.close()

    def test_takes_odd_names_as_they_are(self):
        # Hadoop's Path takes no colon in a last part, and reads a `#` or a `?` only when it is given in pieces.
        names = [name for name in ODD_NAMES if ":" not in name]
        for name in names:
            path = jvm.org.apache.hadoop.fs.Path("s3a", f"master.{self.repo}", f"/odd/{name}")
            stream = self.fs.create(path, True)
            stream.write(name.encode())
            stream.close()
            self.assertEqual(self.fs.getFileStatus(path).getLen(), len(name.encode()))
            moved = jvm.org.apache.hadoop.fs.Path("s3a", f"master.{self.repo}", f"/moved/{name}")
            self.fs.mkdirs(moved.getParent())
            self.assertTrue(self.fs.rename(path, moved))
            self.assertFalse(self.fs.exists(path))
        self.assertEqual(files_below(f"{self.bucket}/moved"), sorted(names))

    def test_creates_a_file_only_if_nobody_has(self):
        def create(number: int) -> bool:
            builder = self.fs.createFile(path_of(f"{self.bucket}/lock"))
            builder.opt("fs.option.create.conditional.overwrite", True)
            stream = builder.overwrite(True).recursive().build()
            stream.write(str(number).encode())
            try:
                stream.close()
                return True
            except Exception as error:
                self.assertRegex(str(error), "412|RemoteFileChanged|PreconditionFailed")
                return False

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            won = list(pool.map(create, range(8)))
        self.assertEqual(won.count(True), 1)
        self.assertEqual(read_text(f"{self.bucket}/lock"), str(won.index(True)))

    def test_sends_checksums(self):
        for kind in ("CRC32", "CRC32C"):
            with self.subTest(kind=kind):
                fs = filesystem(self.bucket, fs_s3a_create_checksum_algorithm=kind, fs_s3a_multipart_size="5M")
                try:
                    write(fs, f"{self.bucket}/{kind}", kind.encode())
                    self.assertEqual(read_text(f"{self.bucket}/{kind}"), kind)
                    write(fs, f"{self.bucket}/{kind}-large", noise(kind, 6 * MIB))
                    self.assertEqual(self.fs.getFileStatus(path_of(f"{self.bucket}/{kind}-large")).getLen(), 6 * MIB)
                finally:
                    fs.close()

    def test_is_refused_with_the_checksums_that_its_sdk_gets_wrong_over_http(self):
        # AWS SDK 2.29 asks its digest twice, once to sign the trailer and once to send it; the second time it is that of nothing.
        for kind in ("SHA1", "SHA256"):
            fs = filesystem(self.bucket, fs_s3a_create_checksum_algorithm=kind)
            try:
                with self.subTest(kind=kind), self.assertRaisesJava("BadDigest|SignatureDoesNotMatch"):
                    write(fs, f"{self.bucket}/{kind}")
                self.assertFalse(self.fs.exists(path_of(f"{self.bucket}/{kind}")))
            finally:
                fs.close()

    def test_keeps_what_it_is_told_in_headers(self):
        builder = self.fs.createFile(path_of(f"{self.bucket}/told"))
        builder.opt("fs.s3a.create.header.made-by", "spark")
        builder.opt("fs.s3a.create.performance", True)
        builder.build().close()
        told = self.fs.getXAttrs(path_of(f"{self.bucket}/told"))
        self.assertEqual(bytes(told["header.made-by"]).decode(), "spark")
        self.assertEqual(bytes(told["header.Content-Type"]).decode(), "application/octet-stream")

    def test_notices_by_etag_and_by_version_that_a_file_was_overwritten_while_it_reads(self):
        for source in ("etag", "versionid"):
            for mode in ("server", "client"):
                with self.subTest(source=source, mode=mode):
                    settings = {"fs_s3a_change_detection_source": source, "fs_s3a_change_detection_mode": mode}
                    fs = filesystem(self.bucket, **settings, fs_s3a_readahead_range="64K", fs_s3a_experimental_input_fadvise="random")
                    uri = f"{self.bucket}/changing-{source}-{mode}"
                    try:
                        first = noise("first", 4 * MIB)
                        write(self.fs, uri, first)
                        stream = fs.open(path_of(uri))
                        self.assertEqual(stream.read(), first[0])
                        write(self.fs, uri, noise("second", 4 * MIB))
                        stream.seek(3 * MIB)
                        if source == "versionid" and mode == "server":
                            # It asks for the version that it opened, and versions stay.
                            self.assertEqual(stream.read(), first[3 * MIB])
                        else:
                            with self.assertRaisesJava("RemoteFileChanged"):
                                stream.read()
                        stream.close()
                    finally:
                        fs.close()


class Folders(Case):
    COUNT = 1_050

    def setUp(self):
        super().setUp()
        self.fs = filesystem(self.bucket)

    def test_makes_lists_renames_and_deletes_folders(self):
        self.assertTrue(self.fs.mkdirs(path_of(f"{self.bucket}/x/y")))
        self.assertTrue(self.fs.getFileStatus(path_of(f"{self.bucket}/x")).isDirectory())
        write(self.fs, f"{self.bucket}/x/y/one")
        write(self.fs, f"{self.bucket}/x/two")
        listed = [status.getPath().getName() for status in self.fs.listStatus(path_of(f"{self.bucket}/x"))]
        self.assertEqual(sorted(listed), ["two", "y"])
        self.assertTrue(self.fs.rename(path_of(f"{self.bucket}/x"), path_of(f"{self.bucket}/z")))
        self.assertEqual(files_below(self.bucket), ["z/two", "z/y/one"])
        with self.assertRaisesJava("not empty|NotEmpty"):
            self.fs.delete(path_of(f"{self.bucket}/z"), False)
        self.assertTrue(self.fs.delete(path_of(f"{self.bucket}/z"), True))
        self.assertEqual(len(self.fs.listStatus(path_of(f"{self.bucket}/"))), 0)

    def test_lists_renames_and_deletes_more_than_one_page(self):
        names = [f"d{n % 7}/f{n:04}" for n in range(self.COUNT)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: write(self.fs, f"{self.bucket}/many/{name}"), names))
        self.assertEqual(files_below(f"{self.bucket}/many"), sorted(names))
        summary = self.fs.getContentSummary(path_of(f"{self.bucket}/many"))
        self.assertEqual((summary.getFileCount(), summary.getLength()), (self.COUNT, self.COUNT))
        found = self.fs.globStatus(path_of(f"{self.bucket}/many/d[0-2]/*1"))
        self.assertEqual(len(found), len([name for name in names if name[1] in "012" and name.endswith("1")]))
        self.assertTrue(self.fs.rename(path_of(f"{self.bucket}/many"), path_of(f"{self.bucket}/moved")))
        self.assertEqual(files_below(f"{self.bucket}/moved"), sorted(names))
        self.assertTrue(self.fs.delete(path_of(f"{self.bucket}/moved"), True))
        self.assertEqual(files_below(self.bucket), [])

    def test_deletes_and_renames_the_same_with_either_policy_for_folder_markers(self):
        for policy in ("keep", "delete"):
            with self.subTest(policy=policy):
                fs = filesystem(self.bucket, fs_s3a_directory_marker_retention=policy)
                try:
                    fs.mkdirs(path_of(f"{self.bucket}/{policy}/in"))
                    write(fs, f"{self.bucket}/{policy}/in/file")
                    fs.rename(path_of(f"{self.bucket}/{policy}/in"), path_of(f"{self.bucket}/{policy}/out"))
                    self.assertEqual(files_below(f"{self.bucket}/{policy}"), ["out/file"])
                    fs.delete(path_of(f"{self.bucket}/{policy}/out/file"), False)
                    self.assertTrue(fs.getFileStatus(path_of(f"{self.bucket}/{policy}/out")).isDirectory())
                finally:
                    fs.close()
        self.assertEqual(commits_of(self.repo)[0]["files"], 0, "folder markers do not count as files")


class Connections(Case):
    def test_opens_a_bucket_with_every_probe(self):
        for probe in ("0", "1", "2"):
            with self.subTest(probe=probe):
                fs = filesystem(self.bucket, fs_s3a_bucket_probe=probe)
                try:
                    self.assertEqual(len(fs.listStatus(path_of(f"{self.bucket}/"))), 0)
                finally:
                    fs.close()

    def test_says_that_a_bucket_is_not_there(self):
        missing = f"s3a://nowhere.{self.repo}"
        for probe in ("0", "1", "2"):
            with self.subTest(probe=probe), self.assertRaisesJava("UnknownStore|does not exist"):
                filesystem(missing, fs_s3a_bucket_probe=probe).listStatus(path_of(f"{missing}/x"))

    def test_says_that_its_keys_are_wrong(self):
        settings = {"fs_s3a_access_key": "NOBODY", "fs_s3a_secret_key": uuid.uuid4().hex}
        provider = "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider"
        fs = filesystem(self.bucket, **settings, fs_s3a_aws_credentials_provider=provider)
        try:
            with self.assertRaisesJava("AccessDenied|InvalidAccessKeyId|403"):
                fs.listStatus(path_of(f"{self.bucket}/"))
        finally:
            fs.close()

    def test_reads_a_commit_whose_id_begins_with_a_digit(self):
        for attempt in range(60):
            write(filesystem(self.bucket), f"{self.bucket}/n", str(attempt).encode())
            commit = commits_of(self.repo)[0]["id"]
            if commit[0].isdigit():
                break
        self.assertTrue(commit[0].isdigit())
        self.assertEqual(read_text(f"s3a://{commit}.{self.repo}/n"), str(attempt))
        self.assertEqual(read_text(f"s3a://{self.repo}/n"), str(attempt))

    def test_warns_of_a_repo_that_begins_with_a_digit(self):
        name = f"7{uuid.uuid4().hex[:8]}x"
        command = [os.environ["SUITE_NODE"], os.environ["SUITE_SLUICE"], "repo", "create", name]
        self.assertIn("S3A", subprocess.run(command, capture_output=True, text=True, check=True).stderr)
        with self.assertRaisesJava("host|bucket|[Nn]ull"):
            filesystem(f"s3a://master.{name}").listStatus(path_of(f"s3a://master.{name}/"))
