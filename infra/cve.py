"""Lists the vulnerabilities of the locked packages that the OSV database knows: ``python infra/cve.py``.

It checks the packages that the Python running this script would install.
Exit code 0: all packages were checked and none has a known vulnerability. 1: some have, and they are listed. 3: the
database could not be queried, so the result is unknown.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
#: pipeline-cuda.lock includes pipeline.lock.
LOCKS = ("requirements.lock", "infra/images/pipeline-cuda.lock", "infra/images/predictor.lock")
NONE_KNOWN, SOME_KNOWN, NOT_CHECKED = 0, 1, 3


def main(locks: tuple[str, ...] = LOCKS) -> int:
    """Checks each lock; returns the exit code."""
    reports = {lock: report_on(lock) for lock in locks}
    if unchecked := [lock for lock, report in reports.items() if report is None]:
        print(f"NOT CHECKED: {', '.join(unchecked)}. Their packages may have known vulnerabilities.")
        return NOT_CHECKED
    known = sorted({line for report in reports.values() if report for line in described(report)})
    print("\n".join(known) or f"no known vulnerability in {', '.join(locks)}")
    return SOME_KNOWN if known else NONE_KNOWN


def report_on(lock: str) -> list[dict[str, Any]] | None:
    """pip-audit's report on each package of a lock; prints why and returns None if it could not query OSV."""
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--format", "json", "--disable-pip"]
    command += ["--progress-spinner", "off", "--require-hashes", "--requirement", str(ROOT / lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        packages = None
    if not packages or any("skip_reason" in one for one in packages):
        reason = (done.stderr.strip().splitlines() or ["pip-audit gave no reason"])[-1][:200]
        print(f"the vulnerability database (OSV) could not be queried about {lock}: {reason}")
        return None
    return list(packages)


def described(packages: list[dict[str, Any]]) -> list[str]:
    """One line per vulnerability: package, identifier, and the versions that fix it."""
    return [
        f"{one['name']} {one['version']}: {known['id']}, fixed in {', '.join(known['fix_versions']) or 'no version'}"
        for one in packages
        for known in one["vulns"]
    ]


if __name__ == "__main__":
    sys.exit(main())
