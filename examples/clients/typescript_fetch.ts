// Yields all events of a new run, over lost connections and restarts of the server; in browsers, Node:
//   for await (const event of follow(url, key, "what is in the workspace?")) console.log(event);
export type RunEvent = { event: string; run_id: string; seq?: number; timestamp: number; [field: string]: unknown };
const FINAL = ["run.completed", "run.failed", "run.cancelled", "run.interrupted"];

export async function* follow(url: string, key: string, input: string): AsyncGenerator<RunEvent> {
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  // Sent again with the same idempotency key, a request gives the same run and never a second one.
  const submit = { ...headers, "Idempotency-Key": crypto.randomUUID() };
  for (let run = "", last = -1; ; await new Promise((wake) => setTimeout(wake, 1000))) {
    try {
      run ||= (await (await ask(`${url}/v1/runs`, submit, JSON.stringify({ input }))).json()).run_id;
      const stream = await ask(`${url}/v1/runs/${run}/events`, { ...headers, "Last-Event-ID": `${last}` });
      for await (const event of events(stream.body!.pipeThrough(new TextDecoderStream()).getReader())) {
        last = event.seq ?? last; // `replay.truncated` has none
        yield event;
        if (FINAL.includes(event.event)) return;
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // what fetch throws where the way is broken
    }
  }
}

async function ask(url: string, headers: Record<string, string>, body?: string): Promise<Response> {
  const reply = await fetch(url, { method: body && "POST", headers, body });
  if (reply.ok) return reply;
  throw new (reply.status < 500 ? Error : TypeError)(`${reply.status}: ${await reply.text()}`);
}

async function* events(reader: ReadableStreamDefaultReader<string>): AsyncGenerator<RunEvent> {
  try {
    for (let rest = "", piece; !(piece = await reader.read()).done; ) {
      const lines = (rest + piece.value).split("\n");
      rest = lines.pop()!; // not whole yet
      const data = lines.filter((line) => line.startsWith("data: ")); // each event is one such line
      yield* data.map((line) => JSON.parse(line.slice(6)) as RunEvent);
    }
  } finally { reader.cancel().catch(() => {}); } // for whoever leaves early
}
