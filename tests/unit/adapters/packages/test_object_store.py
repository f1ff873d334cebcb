"""A Connection says who we are at an object store; nothing shows its secret."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import Connection

from pps.adapters.packages.object_store import StoreLogin, said_by
from pps.domain.base.errors import ConfigurationError

SECRET = "s/e:c@r+t%"


def written(**extra: object) -> str:
    """As Airflow hands a Connection out."""
    held = Connection(
        conn_id="pps_object_store", conn_type="aws", login="k/y", password=SECRET, extra=json.dumps(extra)
    )
    return str(held.get_uri())


def test_key_secret_address_and_region_come_out_as_they_were_entered_in_airflow() -> None:
    there = {"endpoint_url": "https://s3.example.org", "region_name": "us-east-1"}
    login = StoreLogin.of(written(**there))
    assert login == StoreLogin("k/y", SECRET, "https://s3.example.org", "us-east-1")
    assert login.options() == {
        "key": "k/y",
        "secret": SECRET,
        "endpoint_url": "https://s3.example.org",
        "client_kwargs": {"region_name": "us-east-1"},
    }
    amazons = StoreLogin.of(written())
    assert amazons is not None
    assert amazons.options() == {"key": "k/y", "secret": SECRET}
    assert amazons.for_client() == {"aws_access_key_id": "k/y", "aws_secret_access_key": SECRET}
    assert StoreLogin.of(None) is None
    assert SECRET not in repr(login)


@pytest.mark.parametrize(
    ("connection", "why"),
    [
        (written(role_arn="arn:aws:iam::1:role/pps"), "says role_arn"),
        (written(config_kwargs={"signature_version": "unsigned"}), "says config_kwargs"),
        ("aws://k@/", "lacks the key"),
        ("aws://k:s@/?__extra__=%5B", "no JSON object"),
    ],
)
def test_what_we_would_not_do_is_refused_and_no_secret_is_in_the_sentence(connection: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as refused:
        StoreLogin.of(connection)
    assert SECRET not in str(refused.value)
    assert "%3A%2F%2Fs3.example.org" in str(refused.value)


def test_who_says_it_is_told_without_what_it_says() -> None:
    assert said_by("aws://k:s@/", {"AWS_ACCESS_KEY_ID": "k"}) == "the Connection pps_object_store"
    assert said_by(None, {"AWS_ACCESS_KEY_ID": "k"}) == "the variables AWS_*"
    assert said_by(None, {"AWS_PROFILE": "pps"}) == "a file of AWS (~/.aws)"
