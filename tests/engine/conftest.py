import pytest
from pathlib import Path
from biokeel.settings import Settings
class S:
    state_dir = Path("/tmp/engine-dev/stack")
    def settings(self, zone): return Settings.load(zone, state_dir=self.state_dir)
@pytest.fixture(scope="session")
def stack(): return S()
