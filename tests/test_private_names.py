"""docs/private-names.md lists what the service uses of its libraries without a promise that it stays."""

from tests.support.private_names import ROOT, in_source, on_page


def test_the_page_lists_what_the_source_uses() -> None:
    """Each private name with each file that uses it, and no other."""
    assert sorted(on_page()) == sorted(in_source())


def test_each_name_has_a_test_that_notices_a_change() -> None:
    for use, tests in on_page().items():
        assert tests, use
        assert [test for test in tests if not (ROOT / test).exists()] == [], use
