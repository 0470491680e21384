"""`make dev` in a directory of its own, and a shell in which `az` is the unmodified Azure CLI, signed in as its administrator."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).parents[3]
# It may have to compile first.
LONGEST_START = 1800
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class DevWorld:
    def __init__(self, az):
        self.directory = pathlib.Path(tempfile.mkdtemp())
        self._output = open(self.directory / "output", "w+")
        # A make of its own, not one below whoever started this.
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        self._make = subprocess.Popen(
            ["make", "-s", "dev"], cwd=ROOT, env=plain | {"DEV_DIRECTORY": str(self.directory / "dev")},
            stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True)
        self.names = self._names(plain)
        self._shell = plain | self.names | {
            "PATH": f"{pathlib.Path(az).parent}:{plain['PATH']}", "HTTPS_PROXY": self.names["AZSIM_PROXY"],
            "NO_PROXY": "127.0.0.1,localhost", "REQUESTS_CA_BUNDLE": self.names["AZSIM_CA_FILE"],
            "AZURE_CONFIG_DIR": self.names["AZ_CONFIG_DIR"], "AZURE_CORE_ONLY_SHOW_ERRORS": "true",
            "AZURE_CORE_COLLECT_TELEMETRY": "false", "IDENTITY_ENDPOINT": self.names["AZ_IDENTITY_ENDPOINT"],
            "IDENTITY_HEADER": self.names["AZ_IDENTITY_HEADER"]}
        self.run("az login --identity")

    def _names(self, environment):
        """What `.dev/env` sets."""
        file, deadline = self.directory / "dev" / "env", time.monotonic() + LONGEST_START
        while not file.exists():
            if self._make.poll() is not None or time.monotonic() > deadline:
                self._output.seek(0)
                raise RuntimeError("make dev did not start:\n" + self._output.read()[-2000:])
            time.sleep(0.2)
        told = subprocess.run(["bash", "-c", f". '{file}'; env -0"], env={"PATH": environment["PATH"]},
                              capture_output=True, text=True, check=True).stdout
        named = dict(line.split("=", 1) for line in told.split("\0") if line)
        return {name: value for name, value in named.items() if name not in ("PATH", "PWD", "SHLVL", "_")}

    def run(self, command, **more):
        """What a line prints that is pasted into bash; it must end well."""
        done = subprocess.run(["bash", "-c", command], env=self._shell | more, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def preflight(self, body, path="/v1/preflight", accept="application/json"):
        headers = {"Authorization": "Bearer " + self.names["TOKEN_PORTAL"], "Content-Type": "application/json", "Accept": accept}
        request = urllib.request.Request(self.names["BROKER_URL"] + path, json.dumps(body).encode(), headers)
        with DIRECT.open(request, timeout=30) as answer:
            text = answer.read().decode()
        return json.loads(text) if accept == "application/json" else text

    def control(self, method, path, body=None):
        """azsim's control API."""
        request = urllib.request.Request(f"{self.names['AZSIM_CONTROL_URL']}/{path}", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"}, method=method)
        with DIRECT.open(request, timeout=30) as answer:
            return json.load(answer)

    def stop(self):
        if self._make.poll() is None:
            os.killpg(self._make.pid, signal.SIGINT)
            try:
                self._make.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self._make.pid, signal.SIGKILL)
                self._make.wait()
        self._output.close()
        shutil.rmtree(self.directory, ignore_errors=True)
