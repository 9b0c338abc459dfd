"""A pytest plugin for s3-tests: runs the tests that are asked for, each on an empty server, and writes down how it went.

The suite removes its own buckets before and after every test, by listing object versions; it would end with the first bucket that
can't be removed. Here every test has a bucket prefix of its own, and all buckets are removed as far as that is possible: the server
is there for this run only.
"""
import json
import os
import signal

import pytest

# No test takes longer that is not stuck: each is a few requests.
TEST_TIMEOUT_SECONDS = int(os.environ.get('S3_TESTS_TIMEOUT', '60'))
# Of a failure's text; the end says what was expected.
KEPT_CHARACTERS = 4000

outcomes = {}


def wanted_names():
    with open(os.environ['S3_TESTS_WANTED'], encoding='utf-8') as file:
        return {line.strip() for line in file if line.strip()}


def pytest_configure(config):
    import s3tests.functional as suite

    suite.nuke_prefixed_buckets = lambda prefix, client=None: None


def remove_all_buckets():
    import s3tests.functional as suite
    from botocore.exceptions import ClientError

    # Each user lists its own.
    clients = (suite.get_client(), suite.get_alt_client())
    for client, bucket in [(client, bucket) for client in clients for bucket in client.list_buckets()['Buckets']]:
        name = bucket['Name']
        try:
            for page in client.get_paginator('list_objects_v2').paginate(Bucket=name):
                keys = [{'Key': item['Key']} for item in page.get('Contents', [])]
                if keys:
                    client.delete_objects(Bucket=name, Delete={'Objects': keys, 'Quiet': True})
            client.delete_bucket(Bucket=name)
        except ClientError:
            # What can't be removed stays; the next test has names of its own.
            pass


def pytest_collection_modifyitems(config, items):
    wanted = wanted_names()
    items[:] = [item for item in items if item.nodeid in wanted]
    for name in wanted - {item.nodeid for item in items}:
        write({'name': name, 'outcome': 'missing', 'detail': ''})


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    import s3tests.functional as suite

    # The suite sets its first prefix when it reads its configuration, in the first test's setup.
    if suite.prefix is not None:
        remove_all_buckets()
        suite.prefix = suite.choose_bucket_prefix(template='t-{random}-', max_len=20)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    def too_long(_signal, _frame):
        raise TimeoutError(f'{TEST_TIMEOUT_SECONDS} s were not enough')

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(TEST_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def pytest_runtest_logreport(report):
    known = outcomes.setdefault(report.nodeid, {'name': report.nodeid, 'outcome': 'passed', 'detail': ''})
    if report.when == 'call' and report.skipped:
        known.update(outcome='skipped', detail=str(report.longrepr)[-KEPT_CHARACTERS:])
    elif report.skipped and report.when == 'setup':
        known.update(outcome='skipped', detail=str(report.longrepr)[-KEPT_CHARACTERS:])
    elif report.failed:
        known.update(outcome='failed', detail=str(report.longrepr)[-KEPT_CHARACTERS:])
    if report.when == 'teardown':
        write(outcomes.pop(report.nodeid))


def write(line):
    with open(os.environ['S3_TESTS_RESULTS'], 'a', encoding='utf-8') as file:
        file.write(json.dumps(line) + '\n')
