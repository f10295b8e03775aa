"""A headless Chromium, spoken to by the WebDriver protocol through chromedriver: no packages."""
import base64
import json
import subprocess
import tempfile
import time
import urllib.request

DEADLINE_S = 30
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

# Runs before anything of a page does: what its policy had to refuse, and every error.
WITNESS = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) =>
    window.violations.push(event.violatedDirective + ' ' + event.blockedURI + ' ' + event.sample));
addEventListener('error', (event) => window.violations.push('error ' + event.message));
addEventListener('unhandledrejection', (event) => window.violations.push('rejection ' + event.reason));
"""

KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Tab": "\ue004", "ArrowDown": "\ue015", "ArrowUp": "\ue013",
        "Shift": "\ue008", "Space": " "}


class Browser:
    """One window. `say` is what a person would do; `js` looks at what came of it."""

    def __init__(self, width=1280, height=860, dark=False):
        self.log = tempfile.TemporaryFile()
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = next(line for line in self.driver.stdout if "successfully on port" in line)
        self.base = f"http://127.0.0.1:{line.rstrip().rstrip('.').split()[-1]}/session"
        args = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                "--no-first-run", "--disable-background-networking", "--disable-component-update"]
        options = {"args": args, "prefs": {"download.prompt_for_download": False}}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self.call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self.base += "/" + made["sessionId"]
        self.cdp("Page.addScriptToEvaluateOnNewDocument", {"source": WITNESS})
        self.look(width, height, dark)

    def look(self, width, height, dark, scale=1):
        mobile = width < 600
        self.cdp("Emulation.setDeviceMetricsOverride",
                 {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile})
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.cdp("Emulation.setEmulatedMedia", {"features": features})

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise AssertionError(f"{method} {path}: {value['error']}: {value['message']}") from None

    def cdp(self, name, params):
        return self.call("POST", "/goog/cdp/execute", {"cmd": name, "params": params})

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def js(self, script, *args):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def wait(self, what, script, *args):
        """Waits until the script's answer is a true one, and gives it."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            found = self.js(script, *args)
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain for {what}; the page says: {self.text()[-3000:]}")
            time.sleep(0.02)

    def text(self, selector="body"):
        return self.js("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def wait_text(self, text, selector="#timeline"):
        return self.wait(f"{text!r} in {selector}",
                         "return document.querySelector(arguments[1])?.textContent.includes(arguments[0])", text, selector)

    def find(self, selector):
        return self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.call("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, *keys):
        """Presses keys, one after the other, wherever the focus is."""
        actions = []
        for text in keys:
            for char in [KEYS[text]] if text in KEYS else text:
                actions += [{"type": "keyDown", "value": char}, {"type": "keyUp", "value": char}]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def shoot(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def complaints(self):
        """What the policy refused, and what the console had to say, but for servers that were away."""
        logged = self.call("POST", "/se/log", {"type": "browser"})
        away = ("net::ERR_CONNECTION_REFUSED", "net::ERR_INCOMPLETE_CHUNKED_ENCODING", "net::ERR_CONNECTION_RESET",
                "net::ERR_EMPTY_RESPONSE", "status of 401", "net::ERR_SOCKET_NOT_CONNECTED")
        console = [entry["message"] for entry in logged if not any(word in entry["message"] for word in away)]
        return self.js("return window.violations") + console

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()
