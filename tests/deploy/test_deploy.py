"""Runs what docs/deploy has: the real proxies with the real configurations, the binary alone in a root folder
of its own as in the image `server`, and systemd's own judgement of the unit."""
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/browser"))
from kit import BINARY, KEY, Model, Server, free_port  # noqa: E402

DEPLOY = ROOT / "docs/deploy"
NAME = "runwire.example.com"
LATE_MAX = 0.2
DEADLINE = 20
PATH = os.environ["PATH"] + ":/usr/sbin"


def words(_):
    for number in range(8):
        yield {"content": f"{number} "}
        time.sleep(0.3)


def swap(text, **pairs):
    for old, new in pairs.values():
        assert text.count(old) == 1, old
        text = text.replace(old, str(new))
    return text


def ask(url, path, body=None, timeout=DEADLINE, **headers):
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "Host": NAME, **headers}
    trusting = ssl._create_unverified_context()
    return urllib.request.urlopen(urllib.request.Request(url + path, body, headers), timeout=timeout, context=trusting)


def await_open(url):
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            return ask(url, "/health").read()
        except OSError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)


def frames(reply):
    """Each event with how late it is here."""
    for line in reply:
        if line.startswith(b"data: "):
            event = json.loads(line[6:])
            yield event, time.time() - event["timestamp"]


class Proxies(unittest.TestCase):
    def setUp(self):
        self.model = Model({"words": [words], "x": [[{"content": "short"}]]})
        self.addCleanup(self.model.close)
        self.server = Server(*self.model.flags, "--allowed-hosts", NAME)
        self.addCleanup(self.server.close)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="runwire-deploy-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.port = free_port()

    def start(self, *line):
        env = {**os.environ, "PATH": PATH, "HOME": str(self.folder)}
        log = open(self.folder / "log", "w")
        self.addCleanup(log.close)
        proxy = subprocess.Popen(line, env=env, stdout=log, stderr=log)
        self.addCleanup(proxy.wait, DEADLINE)
        self.addCleanup(proxy.terminate)

    def start_nginx(self):
        key, certificate = self.folder / "key", self.folder / "certificate"
        subprocess.run(["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", f"/CN={NAME}", "-keyout",
                        key, "-out", certificate], check=True, capture_output=True)
        snippet = swap((DEPLOY / "nginx.conf").read_text(), to=("127.0.0.1:8642", f"127.0.0.1:{self.server.port}"),
                       at=("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl"),
                       certificate=("/etc/ssl/runwire.pem", certificate), key=("/etc/ssl/runwire.key", key))
        whole = f"daemon off; pid {self.folder}/pid; error_log stderr; events {{}} http {{\n{snippet}}}\n"
        (self.folder / "nginx.conf").write_text(whole)
        self.start("nginx", "-p", self.folder, "-c", self.folder / "nginx.conf")
        return f"https://127.0.0.1:{self.port}"

    def start_caddy(self):
        snippet = swap((DEPLOY / "Caddyfile").read_text(), to=("127.0.0.1:8642", f"127.0.0.1:{self.server.port}"),
                       at=(f"{NAME} {{", f"http://{NAME}:{self.port} {{"))
        (self.folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + snippet)
        self.start("caddy", "run", "--config", self.folder / "Caddyfile", "--adapter", "caddyfile")
        return f"http://127.0.0.1:{self.port}"

    def serves_as_if_there_was_no_proxy(self, url):
        await_open(url)
        # The answer to a large body, from a page of the same origin.
        origin = f"{url.split(':')[0]}://{NAME}"
        body = json.dumps({"input": "x" * 1_000_000}).encode()
        large = ask(url, "/v1/runs", body, Origin=origin)
        self.assertEqual(large.status, 202)
        # Each event at once, while the stream stays open.
        run = json.load(ask(url, "/v1/runs", b'{"input": "words"}'))["run_id"]
        seen = list(frames(ask(url, f"/v1/runs/{run}/events")))
        self.assertEqual(seen[-1][0]["event"], "run.completed")
        self.assertGreater(len(seen), 8)
        late = max(late for _, late in seen[1:])  # the first may have waited for its reader
        self.assertLess(late, LATE_MAX)
        # Reading on from the middle, and what is sent at the end.
        rest = [event for event, _ in frames(ask(url, f"/v1/runs/{run}/events", **{"Last-Event-ID": "3"}))]
        self.assertEqual(rest, [event for event, _ in seen[4:]])
        last = str(seen[-1][0]["seq"])
        self.assertEqual(ask(url, f"/v1/runs/{run}/events", **{"Last-Event-ID": last}).status, 204)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            # A small one: of a large one Caddy may not take the rest.
            ask(url, "/v1/runs", b"{}", Origin="https://elsewhere.example.com")
        refused.exception.close()
        self.assertEqual(refused.exception.code, 403)

    def test_nginx_streams(self):
        self.serves_as_if_there_was_no_proxy(self.start_nginx())

    def test_caddy_streams(self):
        self.serves_as_if_there_was_no_proxy(self.start_caddy())


class Unit(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="runwire-deploy-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.unit = self.folder / "runwire.service"
        self.unit.write_text(swap((DEPLOY / "runwire.service").read_text(), at=("/usr/local/bin/runwire", BINARY),
                                  docs=("Documentation=file:/usr/local/share/doc/runwire/running.md\n", "")))

    def judge(self, *line):
        done = subprocess.run(["systemd-analyze", *line, self.unit], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def test_systemd_finds_nothing_wrong_with_the_unit(self):
        code, said = self.judge("verify")
        about_it = [line for line in said.splitlines() if "runwire" in line]
        self.assertEqual((code, about_it), (0, []), said)

    def test_systemd_finds_little_exposure(self):
        code, said = self.judge("security", "--offline=true", "--threshold=20")
        self.assertEqual(code, 0, said)
        print(said.strip().splitlines()[-1])


@unittest.skipUnless(os.geteuid() == 0, "chroot needs root")
class Scratch(unittest.TestCase):
    """The image `server`: the binary, /state and /tmp, and what docker puts in by itself (/proc, /dev)."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="runwire-scratch-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o755)

    def serves_a_run(self, root, user, line, env):
        port = free_port()
        mounts = f"mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev"
        inside = f"{mounts} && exec chroot --userspec={user} {root} {line}"
        env = {**env, "RUNWIRE_KEY": KEY, "RUNWIRE_PORT": str(port), "PATH": PATH}
        process = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", inside], env=env)
        self.addCleanup(process.wait, DEADLINE)
        # chroot has changed the user, which makes the server forget whose death it was to share.
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        self.addCleanup(lambda: [os.kill(int(child), signal.SIGKILL) for child in children.read_text().split()])
        url = f"http://127.0.0.1:{port}"
        await_open(url)
        run = json.load(ask(url, "/v1/runs", b'{"input": "list files in /"}'))["run_id"]
        events = [event for event, _ in frames(ask(url, f"/v1/runs/{run}/events"))]
        self.assertEqual(events[-1]["event"], "run.completed", events)
        self.assertTrue((root / "state/runs.db").exists())

    def test_the_binary_alone_serves_a_run(self):
        root = self.folder
        shutil.copy(BINARY, root / "runwire")
        for name, mode in ("state", 0o700), ("tmp", 0o1777), ("proc", 0o755), ("dev", 0o755):
            (root / name).mkdir()
            (root / name).chmod(mode)
        os.chown(root / "state", 65532, 65532)
        env = {"RUNWIRE_HOST": "0.0.0.0", "RUNWIRE_STATE": "/state", "HOME": "/state/workspace"}
        self.serves_a_run(root, "65532:65532", "/runwire serve --log json", env)

    def buildah(self, *line):
        places = ["--root", self.folder / "store", "--runroot", self.folder / "run", "--storage-driver", "vfs"]
        done = subprocess.run(["buildah", *places, *line], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    @unittest.skipUnless(shutil.which("buildah") and shutil.which("busybox"), "no buildah, or no busybox")
    def test_the_image_that_the_dockerfile_builds_serves_a_run(self):
        context = self.folder / "context"
        (context / "debian/bin").mkdir(parents=True)
        # What stands for Debian, of which only two programs are used: nothing is fetched.
        for name in "sh", "mkdir":
            shutil.copy(shutil.which("busybox"), context / "debian/bin" / name)
        (context / "Debianfile").write_text("FROM scratch\nCOPY debian /\n")
        build = ["bud", "--isolation", "chroot"]
        base = "docker.io/library/debian:bookworm-slim"
        self.buildah(*build, "--file", context / "Debianfile", "--tag", base, context)
        shutil.copy(BINARY, context / "runwire")
        shutil.copy(DEPLOY / "Dockerfile", context)
        self.buildah(*build, "--pull-never", "--target", "server", "--tag", "server", context)

        image = json.loads(self.buildah("inspect", "--type", "image", "server"))["OCIv1"]["config"]
        self.assertEqual(list(image["Volumes"]), ["/state"])
        root = pathlib.Path(self.buildah("mount", self.buildah("from", "--pull-never", "server")))
        found = {path.name: path.stat() for path in root.iterdir()}
        self.assertEqual(sorted(found), ["runwire", "state", "tmp"])
        self.assertEqual([oct(found[name].st_mode & 0o7777) for name in sorted(found)], ["0o755", "0o700", "0o1777"])
        for name in "proc", "dev":
            (root / name).mkdir()
        env = dict(pair.split("=", 1) for pair in image["Env"])
        self.serves_a_run(root, image["User"], " ".join(image["Entrypoint"] + image["Cmd"]), env)


if __name__ == "__main__":
    unittest.main()
