#!/usr/bin/env python3
"""Reads the summary that was made from one commit of the repo measurements, with boto3 and pandas.

    read_summary.py COMMIT

COMMIT is the id of a commit of `measurements`: the bucket COMMIT.summary holds what was made of exactly that commit, now and
later. It may also be a commit of `summary`, or `master` for the newest. The endpoint and the key come from the environment
(eval "$(npx sluice env)").
"""

import sys

import boto3
import pandas as pd


def read_summary(s3, commit: str) -> tuple[pd.DataFrame, dict]:
    """The table, and what the store says about where it came from."""
    answer = s3.get_object(Bucket=f"{commit}.summary", Key="summary.csv")
    return pd.read_csv(answer["Body"]), answer["Metadata"]


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: read_summary.py COMMIT")
    table, made_from = read_summary(boto3.client("s3"), sys.argv[1])
    print(table.to_string(index=False))
    for name, value in sorted(made_from.items()):
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
