// The client by fetch, in Node: prints each event.
import { follow } from "./js/typescript_fetch.js";

for await (const event of follow(process.env.RUNWIRE_URL, process.env.RUNWIRE_KEY, process.argv[2])) {
  console.log(JSON.stringify(event));
}
