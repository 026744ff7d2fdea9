"""Known vulnerabilities of the locked packages, as OSV knows them: ``python infra/cve.py``.

Asked are the packages that the Python which runs this would install.
Exit code 0: every package was asked for and none is known. 1: some are, and are named. 3: the data base could not be
asked, so nothing is known, which is not the same as none.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
#: pipeline-cuda.lock holds pipeline.lock.
LOCKS = ("requirements.lock", "infra/images/pipeline-cuda.lock", "infra/images/predictor.lock")
NONE_KNOWN, SOME_KNOWN, NOT_ASKED = 0, 1, 3


def main(locks: tuple[str, ...] = LOCKS) -> int:
    """Asks for each lock; the exit code."""
    asked = {lock: report_on(lock) for lock in locks}
    if silent := [lock for lock, found in asked.items() if found is None]:
        print(f"NOT CHECKED: {', '.join(silent)}. Whether their packages have known vulnerabilities is not known.")
        return NOT_ASKED
    known = sorted({line for found in asked.values() if found for line in described(found)})
    print("\n".join(known) or f"no known vulnerability in {', '.join(locks)}")
    return SOME_KNOWN if known else NONE_KNOWN


def report_on(lock: str) -> list[dict[str, Any]] | None:
    """What pip-audit says of each package of a lock, None where it could not ask; its own words are then shown."""
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--format", "json", "--disable-pip"]
    command += ["--progress-spinner", "off", "--require-hashes", "--requirement", str(ROOT / lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        packages = None
    if not packages or any("skip_reason" in one for one in packages):
        words = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1][:200]
        print(f"the vulnerability data base (OSV) could not be asked about {lock}: {words}")
        return None
    return list(packages)


def described(packages: list[dict[str, Any]]) -> list[str]:
    """One line a vulnerability: package, name, and the versions that fix it."""
    return [
        f"{one['name']} {one['version']}: {known['id']}, fixed in {', '.join(known['fix_versions']) or 'no version'}"
        for one in packages
        for known in one["vulns"]
    ]


if __name__ == "__main__":
    sys.exit(main())
