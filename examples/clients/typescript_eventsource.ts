// Follows a run in a browser, which needs no key for it: the app's own server has a token made
// (POST /v1/runs/{run}/token) and hands it out. EventSource resumes by itself after a lost
// connection; where it gives up (the token has expired, a proxy has answered 502 while the server
// restarted), this begins a new one behind the last event that was seen.
//
//   const stop = watch("https://agents.example.com", run, () => fetchTokenFromMyApp(run), show);
export type RunEvent = { event: string; run_id: string; seq?: number; timestamp: number; [field: string]: unknown };
const FINAL = ["run.completed", "run.failed", "run.cancelled", "run.interrupted"];

/** Calls `show` with every event, each once and in order. Returns what ends it early. */
export function watch(
  url: string,
  run: string,
  token: () => Promise<string>,
  show: (event: RunEvent) => void,
): () => void {
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let [last, done] = [-1, false];
  const stop = () => { done = true; clearTimeout(timer); source?.close(); };
  const again = () => { if (!done) timer = setTimeout(() => connect().catch(again), 1000); };
  const connect = async () => {
    const query = new URLSearchParams({ token: await token(), last_seq: `${last}` });
    if (done) return;
    source = new EventSource(`${url}/v1/runs/${run}/events?${query}`);
    source.onmessage = ({ data }) => {
      const event = JSON.parse(data) as RunEvent;
      last = event.seq ?? last; // `replay.truncated` has none
      if (FINAL.includes(event.event)) stop();
      show(event);
    };
    source.onerror = () => { if (source?.readyState === EventSource.CLOSED) again(); };
  };
  connect().catch(again);
  return stop;
}
