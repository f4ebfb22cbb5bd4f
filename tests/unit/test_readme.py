import re

from app.settings import Settings
from tests.support import ROOT


def test_the_readme_lists_every_setting_and_no_other() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == [name.upper() for name in Settings.model_fields]
