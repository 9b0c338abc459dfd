"""For suites in Python: test cases as unittest has them, told as one JSON line for each as it ends."""

import hashlib
import json
import os
import re
import subprocess
import sys
import unittest
import uuid

MIB = 1024 * 1024
ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
ODD_NAMES = json.loads(os.environ["SUITE_ODD_NAMES"])


def sluice(*args: str) -> str:
    """The CLI of the server under test; its standard output."""
    command = [os.environ["SUITE_NODE"], os.environ["SUITE_SLUICE"], *args]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode != 0:
        raise AssertionError(f"sluice {' '.join(args)}: {ran.stdout}{ran.stderr}")
    return ran.stdout


def commits_of(repo: str) -> list:
    """The commits of master after a flush, the newest first."""
    sluice("flush", f"{repo}@master")
    return json.loads(sluice("commit", "list", repo, "--json"))


def settings(guide: str) -> dict:
    """What the first program in a guide of docs/clients sets: the suite uses the very settings that are shown to users."""
    with open(f"{os.environ['SUITE_GUIDES']}/{guide}.md", encoding="utf-8") as page:
        [program] = re.findall(r"^```python\n(.*?)^```$", page.read(), re.MULTILINE | re.DOTALL)[:1]
    names: dict = {}
    exec(program, names)
    return names


def new_repo() -> str:
    """A repo of its own for each test; made by the CLI, because some clients can't make buckets."""
    repo = f"r{uuid.uuid4().hex[:12]}"
    sluice("repo", "create", repo)
    return repo


def noise(name: str, size: int) -> bytes:
    """Bytes without repetition, the same for the same name."""
    blocks = (hashlib.sha512(f"{name} {n}".encode()).digest() for n in range(size // 64 + 1))
    return b"".join(blocks)[:size]


class Lines(unittest.TestResult):
    def say(self, test, outcome, detail=""):
        name = f"{type(test).__name__}: {test._testMethodName[5:].replace('_', ' ')}"
        print(json.dumps({"name": name, "outcome": outcome, "detail": detail}), flush=True)

    def addSuccess(self, test):
        self.say(test, "passed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.say(test, "failed", self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self.say(test, "failed", self.errors[-1][1])

    def addSkip(self, test, reason):
        # A client that is not there leaves out its whole suite, and says so; within one, nothing is left out in silence.
        super().addSkip(test, reason)
        self.say(test, "failed", f"skipped: {reason}")


def run(version: str):
    """Runs the tests of the calling program; `version` is of the client."""
    result = Lines()
    unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]).run(result)
    print(json.dumps({"name": "all", "outcome": "ended", "detail": version}), flush=True)
    sys.exit(0 if result.wasSuccessful() else 1)
