"""docs/settings.md, which comes from the settings classes."""

from deploy.local.settings_docs import PAGE, page


def test_the_page_is_as_the_classes_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"
