// The client by EventSource, in Node, which has none of its own: starts a run, prints each event.
// This program is the app's server as well: it has the key and makes the tokens.
import { EventSource } from "eventsource";
import { watch } from "./js/typescript_eventsource.js";

globalThis.EventSource = EventSource;
const [url, home] = [process.env.RUNWIRE_URL, process.env.RUNWIRE_HOME];
const headers = { Authorization: `Bearer ${process.env.RUNWIRE_KEY}`, "Content-Type": "application/json" };
const ask = async (path, body) => (await fetch(`${home}${path}`, { method: "POST", headers, body })).json();
const { run_id: run } = await ask("/v1/runs", JSON.stringify({ input: process.argv[2] }));
const token = async () => (await ask(`/v1/runs/${run}/token`, JSON.stringify({ lifetime: 3 }))).token;
watch(url, run, token, (event) => console.log(JSON.stringify(event)));
