"""A pytest plugin: a live run of the suite skips every API version but the newest; here all are asked that azsim speaks."""

import pytest

# Before 7.1 attributes have no recoverableDays; azsim does not imitate that.
NOT_SPOKEN = {"7.0", "2016-10-01"}


def _skip_if_not_configured(_self, api_version, **_):
    if api_version in NOT_SPOKEN:
        pytest.skip("azsim speaks 7.1 and later")


def pytest_collection_finish():
    from _async_test_case import AsyncSecretsClientPreparer
    from _test_case import SecretsClientPreparer

    for preparer in (SecretsClientPreparer, AsyncSecretsClientPreparer):
        preparer._skip_if_not_configured = _skip_if_not_configured
