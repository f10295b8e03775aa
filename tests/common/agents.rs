//! An agent that does what its input says, so that each test writes its own script.
use runwire::{Agent, Context, Ending};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

/// Something agents wait for and tests open.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub fn wait(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }
}

/// Understands: `done`, `say TEXT`, `emit COUNT BYTES`, `hold` (until cancelled), `deaf` (until
/// the gate opens, whatever it is told), `gate` (the same, and completes), `panic`, `fail`,
/// `recall` (says the history it was given), `drip COUNT` (one word each 5 ms), `blab SECRET`
/// (in a tool's arguments, its result, and an error), `listen COUNT` (says what it is steered by).
pub struct Puppet {
    pub gate: Gate,
}

impl Agent for Puppet {
    fn run(&self, run: &mut Context<'_>) -> Result<(), Ending> {
        let input = run.request().input.to_text();
        let words: Vec<&str> = input.split(' ').collect();
        let number = |at: usize| words[at].parse::<usize>().unwrap();
        match words[0] {
            "say" => input[4..].split_inclusive(' ').try_for_each(|word| run.delta(word)),
            "emit" => {
                let text = "x".repeat(number(2));
                (0..number(1)).try_for_each(|_| run.delta(&text))
            }
            "hold" => {
                run.delta("holding")?;
                let (freed, wait) = mpsc::channel();
                // The hook lives as long as the wait, so the other end is there.
                let _hook = run.cancel().on_cancel(move || freed.send(()).unwrap());
                wait.recv().unwrap();
                Err(Ending::Stopped)
            }
            "deaf" => {
                // It may have been told to stop before it began; it does not listen to that either.
                let _ = run.delta("deaf");
                self.gate.wait();
                Err(Ending::Stopped)
            }
            "gate" => {
                run.delta("waiting ")?;
                self.gate.wait();
                run.delta("done")
            }
            "drip" => (0..number(1)).try_for_each(|_| {
                std::thread::sleep(Duration::from_millis(5));
                run.delta("drip ")
            }),
            "listen" => {
                run.delta("listening")?;
                for _ in 0..number(1) {
                    let text = loop {
                        match run.next_steer()? {
                            Some(text) => break text,
                            None => std::thread::sleep(Duration::from_millis(1)),
                        }
                    };
                    run.delta(&format!(", {text}"))?;
                }
                Ok(())
            }
            "recall" => {
                let request = run.request();
                let said = request.history.iter();
                let said: Vec<String> =
                    said.map(|m| format!("{}:{}", m.role, m.content.to_text())).collect();
                let told = request.instructions.as_deref().unwrap_or("-");
                run.delta(&format!("{} | {told} | {}", said.join(","), request.session_id))
            }
            "blab" => {
                let secret = words[1];
                let args = serde_json::json!({ "key": secret }).to_string();
                run.tool_started("call-1", "terminal", secret, &args)?;
                run.tool_completed("call-1", "terminal", Duration::ZERO, false, secret)?;
                Err(Ending::failed("test_failure", format!("no good: {secret}")))
            }
            "panic" => panic!("as asked"),
            "fail" => Err(Ending::failed("test_failure", "as asked")),
            _ => Ok(()),
        }
    }
}
