"""The page in a real browser, at a real server: what a person does, and what comes of it.

    make test-browser
    python3 -m unittest -v tests/browser/test_page.py -k steer
"""
import json
import os
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from driver import Browser  # noqa: E402
from kit import KEY, ROOT, Model, Relay, Server, Stub, call  # noqa: E402

SHOTS = ROOT / "target/browser"
DELTAS = 10_000
RUNS = 1_000
# A frame later than this is a freeze.
FREEZE_MS = int(os.environ.get("RUNWIRE_FREEZE_MS", "100"))

HOSTILE_TEXT = """<script>window.hacked = 1</script> <img src=x onerror="window.hacked = 2">

[press me](javascript:window.hacked=3) [or me](data:text/html,<script>window.hacked=4</script>) [good](https://example.org/a_b)

<iframe srcdoc="<script>parent.hacked = 5</script>"></iframe> ![picture](http://127.0.0.1:1/track.png)

`<b>code</b>` **strong <u>text</u>** | [x](vbscript:1) | <a href="javascript:1" onclick="1">raw</a>

```html
<script>window.hacked = 6</script>
```

\u202egnp.exe\u202c and \u0627\u0644\u0639\u0631\u0628\u064a\u0629

""" + "[" * 3000 + "**" * 3000 + "_" * 3000 + "`" * 3000 + "x" * 20_000

HOSTILE_COMMAND = (r"printf '\033[31mred\033[0m <script>window.hacked = 7</script><img src=x onerror=window.hacked=8>"
                   r"\033]0;title\007\033[2J\033[1;38;2;1;200;3mtrue\033[0m %s\n' " + "w" * 5000)

ANSWER = """Here is what I found in **three places**:

1. `src/main.rs` starts the server
2. `src/net` holds the *only* sockets
   - one loop
   - one doorbell
3. The rest is [plain values](https://example.org/values)

| layer | its law |
|---|---|
| `wire` | no socket, no clock |
| `machine` | the same inputs, the same outputs |

```rust
fn main() -> std::io::Result<()> {
    Server::bind(Config::default(), Echo)?.run()
}
```

> A client that goes away never stops its run.

That is all there is to it."""


def words(text):
    return [{"content": word} for word in text.replace(" ", " \0").split("\0")]


def paced(count, pace_s, word="word"):
    def turn(model):
        for index in range(count):
            yield {"content": f"{word}-{index} "}
            time.sleep(pace_s)
    return turn


def until_told(text):
    """Says something, then nothing until the test lets it go on."""
    def turn(model):
        yield {"content": text}
        model.go.wait(60)
        yield {"content": " and went on."}
    return turn


def many(model):
    for index in range(DELTAS):
        lines = {0: "\n\n## Part\n\n", 1: "- item ", 2: "\n```\n", 3: "\n```\n\n"}
        yield {"content": lines[index % 400 // 100] if index % 100 == 0 else f"w{index} "}


THOUGHT = [{"reasoning_content": "The user wants to know how the code is laid out. I look first, and then say it briefly."}]
SCRIPT = {
    "tidy": [THOUGHT + [{"content": "I look around first."}, call("terminal", command=r"printf 'total 4\n'; for it in bench docs examples fuzz src tests; do printf 'drwxr-xr-x 2 me me 4096 \033[01;34m%s\033[0m\n' $it; done; echo '-rw-r--r-- 1 me me 1071 LICENSE'")],
             [call("terminal", command="sleep 0.4; echo counted; exit 3")], words(ANSWER)],
    "slow": [paced(120, 0.05)],
    "wait": [until_told("I began")],
    "steered": [[{"content": "Working on it. "}, call("terminal", command="sleep 2")], [{"content": "As you wish: in blue."}]],
    "hostile": [[call("terminal", command=HOSTILE_COMMAND)], [{"content": HOSTILE_TEXT}]],
    "risky": [[call("terminal", command="rm -rf ../build")], [{"content": "It is gone."}]],
    "many": [many],
}

RESTLESS = """
window.gaps = [0]; let last = performance.now();
new PerformanceObserver((list) => list.getEntries().forEach((it) => window.gaps.push(it.duration))).observe({ type: 'longtask' });
(function frame() { const now = performance.now(); window.gaps.push(now - last); last = now; requestAnimationFrame(frame); })();
"""


def assert_smooth(test, what, act):
    """No frame is late. A busy machine delays some, but not in each of five attempts."""
    worst = []
    while len(worst) < 5 and min(worst, default=FREEZE_MS) >= FREEZE_MS:
        act()
        worst.append(test.browser.js("return Math.max(...window.gaps)"))
    print(f"\n{what}: worst frame {min(worst):.0f} ms", end=" ", flush=True)
    test.assertLess(min(worst), FREEZE_MS)


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = Model(SCRIPT)
        cls.server = Server(*cls.model.flags)
        cls.browser = Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.server.close()
        cls.model.close()

    def setUp(self):
        self.model.go.clear()
        self.browser.look(1280, 860, dark=False)
        self.browser.open("about:blank")
        self.browser.open(self.server.link)

    def tearDown(self):
        self.model.go.set()
        self.assertEqual(self.browser.complaints(), [])

    def start(self, text):
        """Types a task as a person would, and gives the run's id."""
        self.browser.wait("the field", "return document.activeElement && document.getElementById('send').textContent === 'Start'")
        self.browser.click("#input")
        self.browser.type(text, "Enter")
        return self.browser.wait("a run to open", "return location.hash.slice(1)")

    def await_status(self, word):
        self.browser.wait(word, "return document.querySelector('#facts .status')?.textContent === arguments[0]", word)

    def said(self):
        return self.browser.js("return [...document.querySelectorAll('.said')].map((it) => it.textContent).join('')")

    def test_a_run_is_started_and_seen_to_its_end(self):
        self.start("tidy this up")
        self.await_status("Done")
        self.browser.wait_text("That is all there is to it.")
        seen = self.browser.js("""return {
            you: document.querySelector('.you').textContent, tools: document.querySelectorAll('.tool').length,
            bad: document.querySelectorAll('.mark.bad').length, folded: !document.querySelector('details[open]'),
            code: document.querySelector('.said pre code').textContent, cells: document.querySelectorAll('.said td').length,
            list: document.querySelectorAll('.said > ol > li').length, inner: document.querySelectorAll('.said li li').length,
            link: document.querySelector('.said a').href, end: document.querySelector('.end').textContent,
            blue: document.querySelectorAll('.result .f34').length, escapes: document.body.textContent.includes('\\x1b') }""")
        self.assertEqual(seen["you"], "tidy this up")
        self.assertEqual((seen["tools"], seen["bad"], seen["folded"]), (2, 1, True))
        self.assertIn("fn main()", seen["code"])
        self.assertEqual((seen["cells"], seen["list"], seen["inner"]), (4, 3, 2))
        self.assertEqual(seen["link"], "https://example.org/values")
        self.assertGreater(seen["blue"], 3)
        self.assertFalse(seen["escapes"])
        self.assertIn("tokens in", seen["end"])
        self.assertIn("openai scripted", seen["end"])
        self.browser.shoot(SHOTS / "light.png")
        self.browser.look(1280, 860, dark=True)
        self.browser.js("document.querySelector('.tool').open = true; document.getElementById('scroll').scrollTop = 0")
        self.browser.shoot(SHOTS / "dark.png")
        self.browser.look(390, 844, dark=False, scale=2)
        self.browser.js("document.querySelector('.tool').open = false; document.getElementById('scroll').scrollTop = 0")
        wide = self.browser.js("return document.documentElement.scrollWidth")
        self.assertEqual(wide, 390, "it does not fit on a phone")
        self.browser.shoot(SHOTS / "phone.png")
        self.browser.click("#back")
        self.browser.wait("the list", "return getComputedStyle(document.getElementById('main')).display === 'none'")
        self.browser.shoot(SHOTS / "phone-list.png")

    def test_the_key_leaves_the_address_bar_and_stays_in_the_tab(self):
        self.browser.wait("the list", "return document.getElementById('none') && performance.getEntriesByType('resource').length")
        self.assertEqual(self.browser.js("return location.href"), self.server.url)
        self.assertEqual(self.browser.js("return [sessionStorage.length, localStorage.length, document.cookie]"), [1, 0, ""])
        asked = self.browser.js("return performance.getEntriesByType('resource').map((it) => it.name)")
        self.assertFalse([name for name in asked if KEY in name])
        self.assertTrue(all(name.startswith((self.server.url, "data:")) for name in asked), asked)

    def test_without_a_key_one_is_asked_for(self):
        self.browser.js("sessionStorage.clear()")
        self.browser.open(self.server.url)
        self.browser.wait("the question", "return document.getElementById('askKey').open")
        self.assertIn("runwire key", self.browser.text("#askKey"))
        self.browser.shoot(SHOTS / "key.png")
        self.browser.type("a wrong key, a wrong key", "Enter")
        self.browser.wait_text("does not know this key", "#wrong")
        self.browser.type(KEY, "Enter")
        self.browser.wait("the page", "return !document.getElementById('askKey').open")
        self.start("tidy")
        self.await_status("Done")

    def test_a_killed_server_leaves_no_gap_and_no_repeat(self):
        run = self.start("slow please")
        self.browser.wait_text("word-20 ")
        self.server.kill()
        self.browser.wait_text("The connection is lost", "#notice")
        before = self.said()
        self.browser.shoot(SHOTS / "lost.png")
        self.server.start()
        self.await_status("Interrupted")
        self.assertTrue(self.said().strip().startswith(before.strip()), "what was shown was taken back")
        events = [json.loads(line[6:]) for line in self.server.ask(f"v1/runs/{run}/events").decode().splitlines() if line.startswith("data: ")]
        whole = "".join(event.get("delta", "") for event in events)
        self.assertEqual(self.said().split(), whole.split())
        held = self.browser.js("return view.raw.map((it) => JSON.parse(it).seq)")
        self.assertEqual(held, list(range(len(events))))

    def test_a_lost_connection_is_taken_up_again(self):
        relay = Relay(self.server.port)
        self.browser.open(f"{relay.url}#key={KEY}")
        run = self.start("slow please")
        for seen in ("word-10 ", "word-40 ", "word-70 "):
            self.browser.wait_text(seen)
            relay.cut()
            self.browser.wait_text("Connected again", "#notice")
        self.await_status("Done")
        self.assertEqual(self.said().split(), [f"word-{index}" for index in range(120)])
        self.assertEqual(self.server.status(run), "completed")
        relay.close()

    def test_a_run_is_stopped(self):
        run = self.start("wait for me")
        self.browser.wait_text("I began")
        self.browser.click("#stop")
        self.await_status("Stopped")
        self.assertEqual(self.server.status(run), "cancelled")
        self.assertTrue(self.browser.js("return document.getElementById('stop').hidden"))

    def test_a_working_run_is_steered(self):
        self.start("steered work")
        self.browser.wait("the tool", "return document.querySelector('.tool')")
        self.assertEqual(self.browser.text("#send"), "Steer")
        first = self.browser.wait("a running clock", "return document.querySelector('.tool .clock').textContent")
        self.browser.wait("the clock to go on", "return document.querySelector('.tool .clock').textContent !== arguments[0]", first)
        self.browser.click("#input")
        self.browser.type("make it blue", "Enter")
        self.browser.shoot(SHOTS / "working.png")
        self.browser.wait_text("while it worked")
        self.await_status("Done")
        self.browser.wait_text("make it blue")
        self.browser.wait_text("in blue.")

    def test_a_risky_call_waits_for_leave(self):
        (self.server.home / "build").mkdir(exist_ok=True)
        run = self.start("risky business")
        self.browser.wait("the question", "return document.querySelector('.ask button')")
        self.assertIn("rm -rf ../build", self.browser.text(".ask pre"))
        self.await_status("Asking")
        self.assertTrue((self.server.home / "build").exists())
        self.browser.click(".ask button[value=once]")
        self.browser.wait_text("Decided: Allow once.", ".ask")
        self.await_status("Done")
        self.assertFalse((self.server.home / "build").exists())
        self.assertEqual(self.server.status(run), "completed")

    def test_what_is_asked_for_is_denied_by_saying_what_to_do_instead(self):
        (self.server.home / "build").mkdir(exist_ok=True)
        self.start("risky business")
        self.browser.wait("the question", "return document.querySelector('.ask button')")
        self.await_status("Asking")
        self.browser.click("#input")
        self.browser.type("keep it", "Enter")
        self.browser.wait_text("Decided: Deny", ".ask")
        self.await_status("Done")
        self.browser.wait_text("keep it")
        self.assertTrue((self.server.home / "build").exists())

    def test_time_in_the_queue_is_time_waited_also_after_a_reload(self):
        server = Server("--max-runs", "1", *self.model.flags)
        try:
            self.browser.open(server.link)
            working = server.run("wait here")
            self.start("tidy")
            self.await_status("Queued")
            waits = "return [...document.querySelectorAll('#legend span')].map((it) => it.textContent).join()"
            self.browser.wait("a while", "return view.bar && now() - view.bar.last > 2")
            self.assertRegex(self.browser.js(waits), "^waiting ")
            self.model.go.set()
            self.await_status("Done")
            told = self.browser.js(waits)
            self.assertRegex(told, "waiting [2-9]")
            self.browser.shoot(SHOTS / "queued.png")
            self.browser.js("location.reload()")
            self.browser.wait("a new page", "return document.readyState === 'complete'")
            self.await_status("Done")
            self.browser.wait("the same bar", f"return (() => {{ {waits} }})() === arguments[0]", told)
            self.assertEqual(server.status(working), "completed")
        finally:
            server.close()

    def test_a_conversation_goes_on_and_shows_what_came_before(self):
        first = self.start("tidy")
        self.await_status("Done")
        self.browser.click("#input")
        self.browser.type("tidy again", "Enter")
        self.browser.wait("the next run", "return location.hash.slice(1) !== arguments[0]", first)
        self.browser.wait_text("tidy", "#past")
        self.await_status("Done")
        runs = [json.loads(self.server.ask(f"v1/runs/{run}")) for run in (first, self.browser.js("return location.hash.slice(1)"))]
        self.assertEqual(runs[0]["session_id"], runs[1]["session_id"])
        self.browser.js("document.querySelector('#past a').click()")
        self.browser.wait("the first again", "return view?.id === arguments[0]", first)

    def test_a_reload_shows_everything_again(self):
        self.start("tidy")
        self.await_status("Done")
        self.browser.wait_text("That is all there is to it.")
        before = self.browser.text("#timeline")
        self.browser.js("location.reload()")
        self.browser.wait("a new page", "return document.readyState === 'complete'")
        self.await_status("Done")
        self.browser.wait_text("That is all there is to it.")
        self.assertEqual(self.browser.text("#timeline"), before)

    def test_the_events_can_be_downloaded_and_a_curl_line_copied(self):
        run = self.start("tidy")
        self.await_status("Done")
        lines = self.browser.js("return view.raw")
        sent = [line[6:] for line in self.server.ask(f"v1/runs/{run}/events").decode().splitlines() if line.startswith("data: ")]
        self.assertEqual(lines, sent)
        self.browser.cdp("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(self.server.home)})
        self.browser.click("#download")
        file = self.server.home / f"{run}.jsonl"
        deadline = time.monotonic() + 20
        while not (file.exists() and file.read_text().splitlines() == sent):
            self.assertLess(time.monotonic(), deadline, "no file, or not the events")
            time.sleep(0.05)
        self.browser.cdp("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
        self.browser.click("#curl")
        self.browser.wait_text("Copied", "#notice")
        self.assertNotIn(KEY, self.browser.text())

    def test_hostile_text_does_nothing(self):
        begun = time.monotonic()
        self.start("hostile")
        self.await_status("Done")
        self.assertLess(time.monotonic() - begun, 15)
        for details in ("document.querySelector('.tool').open = true", "document.querySelector('.link')?.click()"):
            self.browser.js(details)
        seen = self.browser.js("""const inside = (what) => document.querySelectorAll(`#timeline ${what}`).length; return {
            hacked: window.hacked ?? null, made: inside('script, img, iframe, [onerror], [onclick], [srcdoc], u'),
            links: [...document.querySelectorAll('#timeline a')].map((it) => [it.href, it.rel]),
            colours: [...document.querySelectorAll('.result span')].map((it) => it.className + it.style.color),
            result: document.querySelector('.result').textContent, wide: document.getElementById('scroll').scrollWidth - document.getElementById('scroll').clientWidth }""")
        self.assertIsNone(seen["hacked"])
        self.assertEqual(seen["made"], 0)
        hrefs = {href for href, _ in seen["links"]}
        self.assertEqual(hrefs, {"https://example.org/a_b", "http://127.0.0.1:1/track.png"})
        self.assertTrue(all("noopener" in rel for _, rel in seen["links"]))
        self.assertIn("f31", seen["colours"])
        self.assertIn("boldrgb(1, 200, 3)", seen["colours"])
        self.assertTrue(seen["result"].startswith("red <script>window.hacked = 7</script>"), seen["result"][:200])
        self.assertNotIn("title", seen["result"])
        self.assertLessEqual(seen["wide"], 0)
        self.browser.js("document.getElementById('scroll').scrollTop = 0")
        self.browser.shoot(SHOTS / "hostile.png")

    def test_everything_can_be_done_by_keyboard(self):
        browser = self.browser
        first, second = self.server.run("tidy one"), None
        self.server.await_end(first)
        second = self.server.run("tidy two")
        self.server.await_end(second)
        browser.wait("both runs", "return arguments[0].every((id) => feed.rows.has(id))", [first, second])
        browser.js("document.activeElement.blur()")
        browser.type("j")
        browser.wait("the newest", "return view?.id === arguments[0]", second)
        browser.type("j")
        browser.wait("the older", "return view?.id === arguments[0]", first)
        browser.type("?")
        browser.wait("the help", "return document.getElementById('help').open")
        browser.shoot(SHOTS / "help.png")
        browser.type("Escape")
        browser.wait("no help", "return !document.getElementById('help').open")
        browser.type("/", "two")
        browser.wait("one row", "return [...document.querySelectorAll('#runs li:not([hidden])')].some((it) => it.textContent.includes('two')) && "
                     "![...document.querySelectorAll('#runs li:not([hidden])')].some((it) => it.textContent.includes('tidy one'))")
        browser.type("Tab", "Tab", "Enter")
        browser.wait("the filtered run", "return view?.id === arguments[0]", second)
        browser.js("document.getElementById('filter').value = ''; feed.setFilter('')")
        browser.type("n", "wait for me", "Enter")
        browser.wait_text("I began")
        browser.type("Escape", "s")
        self.await_status("Stopped")
        browser.js("document.querySelector('#helpButton').focus()")
        reached = []
        while "input" not in reached and len(reached) < 20:
            browser.type("Tab")
            reached.append(browser.js("const it = document.activeElement; return it.id || it.localName"))
            ring = browser.js("return document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== 'none'")
            self.assertTrue(ring, f"no ring around {reached[-1]}")
        for place in ("new", "filter", "status", "a", "curl", "download", "input"):
            self.assertIn(place, reached)
        self.assertEqual(reached.count("a"), 1, "the list is more than one stop")

    def test_ten_thousand_deltas_do_not_freeze_it(self):
        run = self.server.run("many")
        self.server.await_end(run)
        self.browser.js(RESTLESS)

        def replay():
            self.browser.js("location.hash = ''; window.gaps = [0]")
            self.browser.wait("nothing to be open", "return !view")
            self.browser.js("location.hash = arguments[0]", run)
            self.browser.wait_text(f"w{DELTAS - 1}")
            self.await_status("Done")

        def live():
            self.browser.js("location.hash = ''; window.gaps = [0]")
            self.start("many")
            self.await_status("Done")

        assert_smooth(self, f"{DELTAS} deltas replayed", replay)
        shown = [word for word in self.said().replace("Part", " ").split() if word.startswith("w")]
        self.assertEqual(len(shown), DELTAS - DELTAS // 100)
        assert_smooth(self, f"{DELTAS} deltas live", live)

    def test_the_first_paint_is_soon(self):
        paints = []
        for _ in range(10):
            self.browser.open("about:blank")
            self.browser.open(self.server.url)
            paints.append(self.browser.wait("a paint", "return (({ paintTime, startTime } = {}) => paintTime ?? startTime)(performance.getEntriesByName('first-contentful-paint')[0])"))
        print(f"\nfirst paint after {min(paints):.0f} to {max(paints):.0f} ms", end=" ", flush=True)
        self.assertLess(min(paints), 100)


class ManyRuns(unittest.TestCase):
    def test_a_thousand_runs_stay_smooth(self):
        server = Server("--max-queue", "2000")
        browser = Browser()
        try:
            for index in range(RUNS):
                server.run(f"help {index}")
            browser.open(server.link)
            browser.wait("all of them", "document.getElementById('list').scrollTop = 1e9; return feed.rows.size === arguments[0]", RUNS)
            browser.js(RESTLESS)

            def look_and_sift():
                browser.js("window.gaps = [0]; ui.list.scrollTop = 0; feed.look()")
                browser.click("#filter")
                browser.type("help 77")
                browser.wait("the found", "return document.querySelectorAll('#runs li:not([hidden])').length === 11")
                browser.js("ui.filter.value = ''; feed.setFilter(''); ui.list.scrollTop = 20000")
                browser.wait("a frame", "return new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(true), 50)))")

            self.browser = browser
            assert_smooth(self, f"{RUNS} runs", look_and_sift)
            browser.js("ui.list.scrollTop = 0")
            order = browser.js("return [...document.querySelectorAll('#runs b')].map((it) => it.textContent)")
            self.assertEqual(order, [f"help {index}" for index in reversed(range(RUNS))])
            browser.shoot(SHOTS / "many-runs.png")
            self.assertEqual(browser.complaints(), [])
        finally:
            browser.close()
            server.close()


class Approval(unittest.TestCase):
    ASK = {"event": "approval.request", "request_id": "r1", "approval_id": "r1", "tool": "terminal",
           "command": "rm -rf build \u202e&& echo safe", "description": "It deletes files and cannot be undone.",
           "choices": ["once", "session", "always", "deny"], "allow_permanent": True}

    def test_a_question_is_answered(self):
        before = [{"event": "message.delta", "delta": "The build folder holds 3 GB. I would delete it."},
                  {"event": "tool.started", "tool": "terminal", "preview": "rm -rf build", "tool_call_id": "c1",
                   "args": {"command": "rm -rf build"}}, self.ASK]
        after = [{"event": "approval.responded", "choice": "once", "request_id": "r1", "resolved": 1},
                 {"event": "tool.completed", "tool": "terminal", "duration": 0.031, "error": False, "preview": "", "tool_call_id": "c1", "result": ""},
                 {"event": "run.completed", "output": "", "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
                  "runtime": {"provider": "openai", "model": "scripted"}}]
        stub = Stub(before, after)
        browser = Browser()
        try:
            browser.open(f"{stub.url}#{stub.RUN}")
            browser.wait("the question", "return document.querySelector('.ask button')")
            self.assertIn(r"rm -rf build \u{202e}&&", browser.text(".ask pre"))
            browser.shoot(SHOTS / "approval.png")
            browser.js("document.activeElement.blur()")
            browser.type("a", "Enter")
            self.assertTrue(stub.decided.wait(20))
            self.assertEqual(stub.decision, {"request_id": "r1", "choice": "once"})
            browser.wait_text("Decided: Allow once.", ".ask")
            browser.wait_text("Done", "#facts")
            self.assertEqual(browser.complaints(), [])
        finally:
            browser.close()
            stub.close()


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
