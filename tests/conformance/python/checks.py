"""Counts what holds. A check is a function that asserts one fact; its docstring or name says which."""

import sys
import traceback

_CHECKS = []


def check(function):
    _CHECKS.append(function)
    return function


def refused(exception, call, status=None, code=None):
    """What a refused call said."""
    try:
        call()
    except exception as error:
        assert status is None or error.status_code == status, f"{error.status_code} is not {status}"
        assert code is None or code in str(error), error
        return error
    raise AssertionError("it was not refused")


def run():
    failed = 0
    for function in _CHECKS:
        name = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok      {name}")
        except Exception:
            failed += 1
            print(f"FAILED  {name}")
            traceback.print_exc()
    print(f"{len(_CHECKS) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not _CHECKS else 0)
