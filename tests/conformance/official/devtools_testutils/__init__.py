"""Stands in for the recorder package of azure-sdk-for-python, which is published nowhere.

Live only: nothing is recorded, so sanitizers and matchers have nothing to do. What a live test asks of the
original is here: who it is, names that differ from test to test, and clients made as customers make them.
"""

import asyncio
import functools
import os
import zlib

import pytest
from azure.identity import ManagedIdentityCredential
from azure.identity.aio import ManagedIdentityCredential as AsyncManagedIdentityCredential


def is_live():
    return os.environ["AZURE_TEST_RUN_LIVE"] == "true"


@pytest.fixture(scope="session")
def test_proxy():
    """The recorder's proxy; a live run has none."""


def recorded_by_proxy(test):
    return test


def _nothing_to_sanitize(*_, **__):
    pass


add_oauth_response_sanitizer = _nothing_to_sanitize
add_general_regex_sanitizer = _nothing_to_sanitize
add_body_key_sanitizer = _nothing_to_sanitize
add_remove_header_sanitizer = _nothing_to_sanitize
remove_batch_sanitizers = _nothing_to_sanitize
set_custom_default_matcher = _nothing_to_sanitize


class AzureRecordedTestCase:
    @property
    def is_live(self):
        return is_live()

    def get_credential(self, _client_class, is_async=False):
        return AsyncManagedIdentityCredential() if is_async else ManagedIdentityCredential()

    def create_client_from_credential(self, client_class, credential, **kwargs):
        kwargs.setdefault("logging_enable", True)
        return client_class(credential=credential, **kwargs)

    @staticmethod
    def await_prepared_test(test):
        """A synchronous test around an asynchronous one."""

        @functools.wraps(test)
        def run(instance, *_, **kwargs):
            return asyncio.run(test(instance, **kwargs))

        return run

    def get_resource_name(self, prefix):
        """Always the same for one test, and another one for every other."""
        return f"{prefix}{zlib.adler32(os.environ['PYTEST_CURRENT_TEST'].encode()):x}"


class AzureMgmtPreparer:
    """Imported by the suite's shared code, used by none of the tests for secrets."""

    def __init__(self, *_, **__):
        raise NotImplementedError("no test for secrets creates a Key Vault")
