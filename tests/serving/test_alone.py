"""At its start the predictor uses no network, and reads no files but its code and its model folder."""

import json
import os
import subprocess
import sys

from tests.serving.conftest import ROOT

WATCH = """
import json, sys
opened, called = set(), set()
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        opened.add(arguments[0])
    elif event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request"):
        called.add(event)
sys.addaudithook(watch)
from serving.predictor import Predictor
from components.model.runtime import Ensemble
from serving import server
Predictor("srs-response", Ensemble.open(__import__("pathlib").Path(sys.argv[1])), "7", 1)
print(json.dumps([sorted(opened), sorted(called)]))
"""


def test_reads_only_its_model_folder_and_reaches_no_network(bundle, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-c", WATCH, str(bundle)]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    opened, called = json.loads(done.stdout.splitlines()[-1])
    folders = [sys.prefix, sys.base_prefix, ROOT, bundle, "/proc", "/sys", "/usr", "/etc", "/lib", "/dev"]
    known = tuple(os.path.realpath(folder) + "/" for folder in folders)
    others = [name for name in opened if not os.path.realpath(name).startswith(known)]
    assert called == []
    assert others == []
    assert any(name.endswith("manifest.json") for name in opened)
