"""What a research worker does not load."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
import tempfile
from pathlib import Path
from tests.engine.curate_world import block, landing, made_worker, run
from biokeel.land.lake import Lake

async def scenario(worker, lake):
    await landing(worker, lake, block(0, [120.0, 500.0]), block(1, [121.0]))
    worker._saver.save_grown()
    worker._forget()
    await landing(worker, lake, block(2, [122.0]))
    worker.check()

run(Path(sys.argv[1]), scenario)
sys.exit(f"it imported {found}" if (found := {"pandas", "great_expectations"} & sys.modules.keys()) else 0)
"""


def test_a_worker_judges_lands_saves_and_recovers_without_pandas_which_takes_50_mib(tmp_path):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
