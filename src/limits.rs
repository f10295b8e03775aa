//! Every bound in the program, in one place, and the relations between them.

/// Bytes of a request line. A longer one is refused with 414.
pub const REQUEST_LINE_BYTES_MAX: usize = 8 * 1024;
/// Bytes of request line and headers together. A longer head is refused with 431.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Headers in one request.
pub const HEADERS_MAX: usize = 64;
/// Empty lines before a request line, where RFC 9112 §2.2 asks to overlook at least one.
pub const LEADING_LINES_MAX: usize = 4;
/// Bytes of request body, unless `--max-body` says otherwise. A longer body is refused with 413.
pub const BODY_BYTES_MAX: usize = 10_000_000;
/// Bytes of chunk framing (size lines, extensions, line ends) beyond what the payload has earned.
pub const CHUNK_OVERHEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of chunk framing that each byte of payload earns: chunks of two bytes may go on for ever.
pub const CHUNK_OVERHEAD_EARNED: usize = 4;
/// Bytes of trailer section after a chunked body.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Values (scalars, lists, objects) in one JSON body: what bounds its size once it is taken apart.
pub const JSON_VALUES_MAX: usize = 200_000;
/// Bytes of a session key, a session id or an idempotency key.
pub const HEADER_ID_BYTES_MAX: usize = 256;

/// Keys in force at once; each request is compared with all of them.
pub const KEYS_MAX: usize = 256;
/// Characters of a key's name.
pub const KEY_NAME_CHARS_MAX: usize = 64;
/// Characters a key's secret must have, so that nobody guesses it.
pub const KEY_SECRET_CHARS_MIN: usize = 16;

/// The smallest budget for the memory of the whole process.
pub const MEMORY_BYTES_MIN: usize = 8 * 1024 * 1024;
/// What a working run's thread and agent are charged with within a budget: at least, and at most.
pub const AGENT_BYTES_MIN: usize = 96 * 1024;
pub const AGENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What a connection is charged with beside its bytes: its record, its timer, its socket's place.
pub const CONN_BYTES: usize = 512;
/// What a run is charged with beside its bytes: its record, its places in tables, and what it
/// writes to the store when it begins and ends.
pub const RUN_BYTES: usize = 1_536;
/// Runs that work at once, unless `--max-runs` says otherwise.
pub const RUNS_WORKING: usize = 64;

/// Connections open at once. Beyond it the server stops accepting until one closes.
pub const CONNS_MAX: usize = 65_536;
/// Bytes read from one connection before the others get their turn.
pub const READ_TURN_BYTES_MAX: usize = 128 * 1024;
/// Bytes written to one connection before the others get their turn.
pub const WRITE_TURN_BYTES_MAX: usize = 256 * 1024;
/// Unparsed bytes one connection may hold while an answer or a stream is on its way.
pub const INBOX_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;
/// Unsent bytes of small replies beyond which pipelined requests wait.
pub const OUTBOX_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a refused body that are read and thrown away so that the client can read the refusal:
/// enough for a client that first sends all of a body a few times over the limit.
pub const LINGER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The time a closing connection may take to do so.
pub const LINGER_MS: u64 = 2_000;
/// A reader must within this time take all that is due to it, or `STALL_BYTES`; else it is cut off.
pub const STALL_MS: u64 = 60_000;
/// What a slow reader must take within `STALL_MS` to be waited for.
pub const STALL_BYTES: u64 = 16 * 1024;
/// What a slow sender must send within the body time-out to be given that time again.
pub const BODY_PACE_BYTES: u64 = 64 * 1024;

/// Bytes of one segment of a run's log.
pub const SEGMENT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of history one run may keep in memory; beyond it the oldest segment is dropped.
pub const HISTORY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of what was said in one run between its input and its output that a store in memory keeps
/// for conversations; beyond it the older half goes.
pub const SAID_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes that finished runs may keep in memory together; beyond it the oldest is forgotten early.
pub const FINISHED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The same where a durable store has them too, and can give them back.
pub const FINISHED_CACHE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of its latest history a run keeps in memory where a durable store has all of it.
pub const LOG_WINDOW_BYTES_MAX: usize = 256 * 1024;
/// Bytes of events a reader is told from the store at once.
pub const PAGE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of events that wait for the store; beyond it agents wait.
pub const STORE_BACKLOG_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How long a store that could not take a batch is left alone before it is tried again.
pub const STORE_RETRY_MS: u64 = 1_000;
/// Writes stored in one transaction: some milliseconds' worth. A batch that is bigger goes alone.
pub const STORE_GROUP_WRITES_MAX: usize = 1_000;
/// Bytes of texts stored in one transaction, likewise.
pub const STORE_GROUP_BYTES_MAX: usize = 1024 * 1024;
/// How long the server waits at its end for the store to have all it was given.
pub const STORE_EXIT_MS: u64 = 5_000;
/// Bytes of a session's history that are loaded for a run.
pub const HISTORY_LOAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often a store is asked to delete what it need not retain, and how soon again if it said that
/// there is more.
pub const PRUNE_EVERY_MS: u64 = 60_000;
pub const PRUNE_PAUSE_MS: u64 = 20;
/// Runs or sessions a list shows at once.
pub const LIST_MAX: usize = 100;
/// Runs on one feed; their names fit a request line.
pub const FEED_RUNS_MAX: usize = 32;
/// Runs whose change a slow feed is still to be told of; beyond it, it is told to look at all.
pub const FEED_CHANGES_MAX: usize = 256;
/// Messages of a session that are shown at once, and unless another number is asked for.
pub const MESSAGES_MAX: usize = 500;
/// Bytes of a call's arguments that may be allowed for a session or for always.
pub const GRANT_BYTES_MAX: usize = 4 * 1024;
/// Grants remembered for one key's name; beyond it the oldest goes, and its call is asked for again.
pub const GRANTS_MAX: usize = 256;
/// How long a request for leave waits for a decision before it is denied.
pub const APPROVAL_MS: u64 = 600_000;
/// Bytes of one text that steers a run. A longer one is refused with 400.
pub const STEER_BYTES_MAX: usize = 64 * 1024;
/// Steers that wait for one run's next turn. A further one is refused with 429.
pub const STEERS_WAITING_MAX: usize = 16;
/// Bytes of a run token; it fits a request line.
pub const TOKEN_BYTES_MAX: usize = 2 * 1024;
/// How long a run token is good unless it is asked for otherwise, in seconds: an EventSource comes
/// again by itself, with the token it has.
pub const TOKEN_S: u64 = 3_600;
/// How long it may be good at most.
pub const TOKEN_S_MAX: u64 = 86_400;
/// How far the clock of who mints it may be ahead.
pub const TOKEN_SKEW_S: u64 = 60;
/// Bytes of each text in what webhooks are told; a longer one is shortened.
pub const HOOK_TEXT_BYTES_MAX: usize = 16 * 1024;
/// Deliveries on their way at once: each has a thread.
pub const HOOKS_FLYING_MAX: usize = 4;
/// Deliveries in memory, and their bytes. A durable store has those beyond it; without one they are
/// given up.
pub const HOOKS_WAITING_MAX: usize = 128;
pub const HOOKS_BYTES_MAX: usize = 1024 * 1024;
/// How often a store that has more is asked whether another delivery is due.
pub const HOOKS_LOOK_MS: u64 = 30_000;
/// The longest pause before another try, whatever the other side asks for.
pub const HOOK_PAUSE_MS_MAX: u64 = 86_400_000;
/// How long a try may take.
pub const HOOK_TRY_MS: u64 = 15_000;
/// Events that wait for the loop; beyond it the agent waits.
pub const EVENTS_QUEUED_MAX: usize = 2048;
/// Events taken in one turn of the loop.
pub const EVENTS_TURN_MAX: usize = 1024;
/// How long an idle agent thread waits for its next run.
pub const WORKER_IDLE_MS: u64 = 10_000;
/// How long a finished run with an Idempotency-Key is kept for a retry.
pub const IDEMPOTENCY_TTL_MS: u64 = 24 * 60 * 60 * 1000;
/// What a connection without a request is left when the server ends: what it has just sent may
/// not have been read yet.
pub const DRAIN_IDLE_MS: u64 = 100;
/// Beyond the drain's grace: how long a cancelled agent may take to say its last word.
pub const DRAIN_LAST_WORD_MS: u64 = 1_000;

/// Bytes of text in one delta event; a longer one is split.
pub const DELTA_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a run's output in its terminal event and its status; the deltas hold all of it.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Characters of a tool's main argument or result shown as a preview.
pub const PREVIEW_CHARS_MAX: usize = 500;
/// Characters of a run's input that lists show.
pub const INPUT_PREVIEW_CHARS_MAX: usize = 100;
/// Bytes of a tool's result in its event.
pub const TOOL_RESULT_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a tool's arguments in its event.
pub const TOOL_ARGS_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a tool's result as the model is told it, and of what the terminal keeps of an output.
pub const TOOL_ENTRY_BYTES_MAX: usize = 64 * 1024;
/// Bytes an older tool result is shortened to once the conversation outgrows the model.
pub const OLD_RESULT_BYTES_MAX: usize = 512;
/// Tool calls carried out in one turn; the model is told to repeat the others.
pub const TURN_CALLS_MAX: usize = 64;
/// Bytes of a file that is edited, or searched; a bigger one is refused, or passed over.
pub const TOOL_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Lines `read_file` shows at once unless told otherwise.
pub const READ_LINES: u64 = 2_000;
/// Lines `list_files` and `search_files` show.
pub const FOUND_LINES_MAX: usize = 500;
/// Entries `list_files` and `search_files` look at before they give up.
pub const WALK_ENTRIES_MAX: usize = 200_000;
/// Folders below the first that `list_files` and `search_files` go into.
pub const WALK_DEPTH_MAX: usize = 64;
/// Seconds a terminal command may take unless told otherwise.
pub const COMMAND_SECONDS: u64 = 120;
/// Seconds a terminal command may take at most.
pub const COMMAND_SECONDS_MAX: u64 = 600;
/// What a terminal command's processes are given to end by themselves.
pub const COMMAND_GRACE_MS: u64 = 100;
/// How long the killed processes of a command are waited for; only the kernel can hold them up.
pub const COMMAND_DEATH_MS: u64 = 5_000;
/// Processes and threads a confined command may add to those of the whole system.
pub const COMMAND_PROCESSES_MAX: u64 = 1_024;
/// Bytes of writable memory each process of a confined command may have.
pub const COMMAND_MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Bytes a process of a confined command may make a file long.
pub const COMMAND_FILE_BYTES_MAX: u64 = 2 << 30;
/// Files each process of a confined command may have open.
pub const COMMAND_FILES_MAX: u64 = 1_024;
/// Paths that may be opened to a confined command one by one, where a folder holds a secret and so
/// cannot be opened as a whole. What is beyond it stays closed.
pub const SANDBOX_PATHS_MAX: usize = 16_384;
/// Bytes of an error message in an event.
pub const ERROR_BYTES_MAX: usize = 4 * 1024;

const _: () = assert!(REQUEST_LINE_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(TOKEN_BYTES_MAX * 2 < REQUEST_LINE_BYTES_MAX);
const _: () = assert!(HEAD_BYTES_MAX < INBOX_BYTES_MAX);
const _: () = assert!(SEGMENT_BYTES_MAX * 2 < HISTORY_BYTES_MAX);
const _: () = assert!(HISTORY_BYTES_MAX <= FINISHED_BYTES_MAX);
const _: () = assert!(SEGMENT_BYTES_MAX * 2 < LOG_WINDOW_BYTES_MAX);
const _: () = assert!(DELTA_BYTES_MAX < SEGMENT_BYTES_MAX);
const _: () = assert!(STEER_BYTES_MAX * STEERS_WAITING_MAX <= OUTPUT_BYTES_MAX);
const _: () = assert!(CONNS_MAX <= u32::MAX as usize);
const _: () = assert!(OLD_RESULT_BYTES_MAX < TOOL_RESULT_BYTES_MAX);
const _: () = assert!(COMMAND_SECONDS <= COMMAND_SECONDS_MAX);
