"""KServe can be imported whatever the command line is, and the command line stays unchanged."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
#: The first is an abbreviation of ``--configure_logging``; the others are options of KServe's with values it refuses.
ARGUMENTS = ["--co", "-q", "--http_port=x", "--event-loop", "none"]


def test_the_command_line_is_neither_read_nor_changed():
    code = (
        f"import sys; from components.common import kserve_import; assert sys.argv == ['-c', *{ARGUMENTS!r}], sys.argv"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *ARGUMENTS], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
