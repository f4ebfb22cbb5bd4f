import re

from app.settings import Settings
from tests.support import ROOT


def test_the_documentation_lists_every_setting_and_no_other() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE)
    assert listed == [name.upper() for name in Settings.model_fields]
