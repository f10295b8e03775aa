#!/usr/bin/env bash
# Breaks the program in small ways, one at a time, on a copy. Each must be caught by a test.
#
# Usage: tests/mutants.sh [WORD]    only the mutants whose description contains WORD
# Prints for each which test caught it; exits with 1 if one survives.
set -u
cd "$(dirname "$0")/.." || exit 1
here=$PWD
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
only=${1:-}
survived=0
count=0

# The copy has a target folder of its own, kept for the next time, so that paths stay the same
# and only this crate is built again.
export CARGO_TARGET_DIR=$here/target/mutants
export RUST_BACKTRACE=0

# mutant DESCRIPTION FILE TESTS OLD NEW: the first OLD in FILE becomes NEW; TESTS are the test
# binaries that are run, the likeliest first.
mutant() {
    local what=$1 file=$2 tests=$3 old=$4 new=$5 test log features caught=
    [[ -n $only && $what != *"$only"* ]] && return
    count=$((count + 1))
    rm -rf "$copy/src"
    cp -r src "$copy/src"
    if ! OLD=$old NEW=$new perl -0pi -e '
        my ($old, $new) = ($ENV{OLD}, $ENV{NEW});
        my $at = index($_, $old);
        exit 3 if $at < 0;
        substr($_, $at, length $old) = $new;
    ' "$copy/$file"; then
        echo "GONE      $what: $file no longer contains what it breaks"
        survived=1
        return
    fi
    for test in $tests; do
        features=
        [[ $test == webhooks ]] && features=webhooks,sqlite
        # A mutant may loop for ever; that counts as caught.
        log=$(cd "$copy" && timeout 180 cargo test --offline --quiet --no-default-features \
            --features "$features" --test "$test" 2>&1)
        case $? in
        0) continue ;;
        124) caught="$test (does not end)" ;;
        *)
            caught=$(grep -E '^    [a-z_:]+$' <<<"$log" | sort -u | head -n 2 | xargs)
            if [[ -z $caught ]]; then
                echo "BROKEN    $what: does not compile"
                grep -E '^error' -A 6 <<<"$log" | head -n 12
                survived=1
                return
            fi
            ;;
        esac
        break
    done
    if [[ -n $caught ]]; then
        echo "caught    $what: $caught"
    else
        echo "SURVIVED  $what"
        survived=1
    fi
}

for path in Cargo.toml Cargo.lock docs tests examples benches fuzz/seeds fuzz/fuzz_targets; do
    [[ -e $path ]] && mkdir -p "$copy/$(dirname "$path")" && cp -r "$path" "$copy/$path"
done

M=src/machine
mutant 'a byte is sent twice' $M/conn.rs 'sim' \
    'self.sent += count as u32;' 'self.sent += count as u32 - u32::from(count > 7);'
mutant 'a byte of the log is skipped' $M/stream.rs 'sim' \
    'stream.at += (count - of_outbox) as u64;' \
    'stream.at += (count - of_outbox) as u64 + u64::from(count > 9_000 && of_outbox == 0);'
mutant 'a resumed reader misses an event' $M/stream.rs 'sim' \
    'place_of(next_seq.max(oldest))' \
    'place_of((next_seq + u64::from(next_seq > 0)).max(oldest).min(run.log.next_seq()))'
mutant 'the place of an event is that of its segment' $M/log.rs 'machine' \
    'segment.first_seq <= seq' 'segment.first_seq < seq'
mutant 'the timer of a finished run is not armed' $M/runs.rs 'machine' \
    $'self.arm_run(key);\n        self.forget_for_room' 'self.forget_for_room'
mutant 'the timer is not armed when a reader leaves' $M/stream.rs 'machine sim' \
    'self.arm_run(key);' ''
mutant 'the timer of a working run is not armed' $M/runs.rs 'machine' \
    $'steer }));\n        self.arm_run(key);' $'steer }));'
mutant 'the timer of a connection is not armed' $M/http.rs 'sim' \
    $'conn.due = now.after_duration(self.config.head_timeout);\n                    self.arm_conn(id);' \
    'conn.due = now.after_duration(self.config.head_timeout);'
mutant 'a reader does not keep its run from being an orphan' $M/expiry.rs 'machine sim' \
    'run.subscribers.is_empty().then(|| self.orphan_due(run))' 'Some(self.orphan_due(run))'
mutant 'a slot is given away under its old name' src/slab.rs 'slab sim' \
    'entry.generation = entry.generation.wrapping_add(1);' ''
mutant 'an idempotency key outlives its run' $M/owners.rs 'machine' \
    'keys.remove(&known.key);' ''
mutant 'a key is kept as long as any run' $M/expiry.rs 'machine' \
    'due.max(run.touched.after(IDEMPOTENCY_TTL_MS))' 'due'
mutant 'paths are told to strangers' $M/admit.rs 'machine' \
    'if open { access' 'if open || route.is_none() { access'
mutant 'a keepalive within a frame' $M/stream.rs 'sim' \
    'let idle = conn.unsent().is_empty() && self.lent(conn).is_empty();' \
    'let idle = conn.unsent().is_empty();'
mutant 'the last word is dropped for a slow reader' $M/stream.rs 'sim' \
    'if !conn.outbox.is_empty() || stream.at < unread {' \
    'if !conn.outbox.is_empty() || (stream.at < unread && !(conn.blocked && log.is_over())) {'
mutant 'a stream over HTTP/1.0 never ends' $M/stream.rs 'sim' \
    'Phase::Stream(stream)) => stream.close || self.is_draining()' \
    'Phase::Stream(stream)) => stream.chunked && stream.close'
mutant '204 one event too early' $M/stream.rs 'sim' \
    'next_seq == run.log.shown_seq()' 'next_seq + 1 >= run.log.shown_seq()'
mutant 'the wheel is off by one slot' $M/wheel.rs 'wheel' \
    'as usize % SLOTS' 'as usize % (SLOTS - 1)'
mutant 'the wheel fires early' $M/wheel.rs 'wheel' 'if due <= now {' 'if due <= now.after(1) {'
mutant 'the queue loses another run' $M/runs.rs 'sim' \
    '_ => self.queue.retain(|waiting| *waiting != key)' '_ => drop(self.queue.pop_front())'
mutant 'the queue serves the latest first' $M/runs.rs 'machine' \
    'self.runs.queue.pop_front() else' 'self.runs.queue.pop_back() else'
mutant 'one run too many waits' $M/submit.rs 'sim' \
    'self.runs.waiting >= self.config.max_queue' 'self.runs.waiting > self.config.max_queue'
mutant 'no next run when one has ended' $M/keep.rs 'machine' \
    $'self.start_next();\n        self.drain_on();' 'self.drain_on();'
mutant 'a drain forgets the runs that wait' $M/mod.rs 'machine' 'self.interrupt_queued();' ''
mutant 'a drain does not wait for its readers' $M/mod.rs 'sim machine' \
    'self.conns.is_empty() && !self.keep.is_busy()' '!self.keep.is_busy()'
mutant 'a paused connection is not resumed' $M/http.rs 'sim machine' \
    'self.outputs.push_back(Output::Resume(id));' ''
mutant 'a half-close is a hang-up' $M/mod.rs 'sim' \
    'Input::Ended(id) => self.ended(id),' 'Input::Ended(id) => self.close(id),'
mutant 'news between two turns waits for the next' $M/mod.rs 'machine' \
    $'nobody will wake us for it.\n        self.spread_news();' 'nobody will wake us for it.'
mutant 'a lost reader is kept' $M/stream.rs 'machine' \
    $'} else {\n                self.close(id);' '} else {'
mutant 'a peer that reads nothing is kept' $M/stream.rs 'machine sim' 'conn.begin_stall(now);' ''
mutant 'a peer that reads a byte at a time is kept' $M/conn.rs 'machine' \
    '} else if self.stall_taken >= STALL_BYTES {' '} else if taken > 0 {'
mutant 'a body behind unread answers has no bound' $M/conn.rs 'machine' \
    'Phase::Body(_) => true,' 'Phase::Body(_) => self.outbox.len() < OUTBOX_BYTES_MAX,'
mutant 'forgotten runs count for ever' $M/expiry.rs 'machine' \
    'self.runs.finished_bytes -= run.bytes();' ''
mutant 'a bare LF ends a line' src/wire/head.rs 'wire' \
    $'(_, b\'\\n\') => Some(' $'(_, b\'\\n\') if before == 1 => Some('
mutant 'any byte ends a chunk' src/wire/body.rs 'wire' \
    $'(State::DataLf, b\'\\n\') =>' '(State::DataLf, _) =>'
mutant 'an id that is not the seq' src/wire/sse.rs 'sim' \
    'decimal(out, event.seq);' 'decimal(out, event.seq + 1);'
mutant 'an agent says two events under one number' src/agent/context.rs 'streams agent_loop' \
    'self.seq += 1;' 'self.seq += u64::from(self.seq != 2);'
mutant 'a steer that was taken in still waits' $M/run.rs 'sim machine' \
    'self.steers.pop_front().expect' 'self.steers.front().expect'
mutant 'the last word forgets the steers that came too late' $M/run.rs 'sim steer' \
    'kind.set_pending_steer(self.take_pending())' 'drop(self.take_pending())'
mutant 'a run on its way out takes a steer' $M/steer.rs 'sim steer' \
    'run.status != Status::Running' '!run.status.is_working()'
mutant 'one steer too many waits' $M/steer.rs 'machine' \
    '>= STEERS_WAITING_MAX' '> STEERS_WAITING_MAX'
mutant 'a steer shows a secret' $M/steer.rs 'steer' \
    'self.secrets.mask(&steer.text)' 'steer.text.clone()'
mutant 'a steered run is an orphan' $M/steer.rs 'machine' 'run.touched = self.now.tick;' ''
mutant 'a steer after the answer is left' src/agent/tool_agent.rs 'agent_steer' \
    '!run.has_steer() || !run.has_turn()' '!run.has_steer() || run.has_turn()'
mutant 'a steer after the last turn allowed is an error' src/agent/tool_agent.rs 'agent_steer' \
    '!run.has_steer() || !run.has_turn()' '!run.has_steer()'
B=src/agent/budget.rs
mutant 'the model has a turn too many' $B 'agent_budget' \
    'self.turns < ' 'self.turns <= '
mutant 'a tool is called once too often' $B 'agent_budget' \
    'self.tool_calls >= ' 'self.tool_calls > '
mutant 'tokens run out one too early' $B 'agent_budget' \
    'if tokens > self' 'if tokens >= self'
mutant 'a turn costs nothing while it is said' $B 'agent_budget' \
    'self.heard_bytes = self.heard_bytes.saturating_add(bytes as u64);' 'let _ = bytes;'
mutant 'a turn is paid for twice' $B 'agent_budget' \
    'self.heard_bytes = 0;' ''
mutant 'a blank line is said for free' $B 'agent_budget' \
    '.saturating_sub(gap.len() as u64)' '.saturating_sub(0)'
mutant 'something is said after the last byte' $B 'agent_budget' \
    'self.output_left = 0;' ''
mutant 'a run over its budget completes' src/agent/life.rs 'agent_budget' \
    'if limit != Limit::Wall' 'if limit == Limit::Wall'
mutant 'a request widens its budget' src/budget.rs 'agent_budget' \
    '.chain(other).min()' '.chain(other).max()'
mutant 'a waiting run works without a limit of time' src/machine/runs.rs 'runs machine' \
    'budget.wall);' 'None);'
mutant 'a steer interrupts nothing' src/agent/tool_agent.rs 'agent_steer' \
    'let is_skipped = run.is_interrupted();' 'let is_skipped = false;'
mutant 'a steer is dropped with an old turn' src/agent/tool_agent/talk.rs 'agent_steer' \
    'if is_user(&self.entries[at]) {' 'if at == usize::MAX {'
mutant 'a steer has builtin begin again for ever' src/agent/model/builtin.rs 'agent_builtin' \
    '.split('"'_'"').next()?' '.split('"'!'"').next()?'
mutant 'a steer reaches the client only' src/agent/tool_agent.rs 'agent_steer' \
    'talk.push_user(text);' 'drop(text);'
mutant 'an event is shown before it is stored' $M/keep.rs 'machine_store' \
    'None if is_durable => {' 'None if is_durable && written.seq > 1 => {'
mutant 'a last word is shown before it is synced' $M/keep.rs 'machine_store' \
    'flight.is_committed && (!flight.batch.sync || flight.batch.number <= synced)' \
    'flight.is_committed'
mutant 'what the store did not take is not given again' $M/keep.rs 'machine_store' \
    'next.writes.extend(batch.writes);' ''
mutant 'a run that was refused is stored all the same' $M/keep.rs 'machine_store sim' \
    'self.keep.give_up(&numbers);' ''
mutant 'a store that failed is not tried again' $M/keep.rs 'machine_store' \
    $'Health::Failing(fault);\n        self.wheel.insert(self.now.tick.after(STORE_RETRY_MS), Timer::Retry);' \
    'Health::Failing(fault);'
mutant 'agents work on for a store that takes nothing' $M/keep.rs 'machine_store' \
    $'self.cancel_working(Cause::Store);\n        self.drain_on();' 'self.drain_on();'
mutant 'agents wait for ever' $M/keep.rs 'machine_store sim' 'self.keep.bytes -= flight.bytes;' ''
mutant 'a number is given to two runs' $M/keep.rs 'sim' \
    'last_no: shelf.recovered.last_no' 'last_no: shelf.recovered.unfinished.len() as u64'
mutant 'an old answer brings a deleted run back' $M/waiting.rs 'machine_store' \
    'found.refresh(&self.left);' ''
mutant 'runs that come back into memory have no bound' $M/waiting.rs 'machine_store' \
    'self.forget_for_room();' ''
mutant 'a run that came back is kept for ever' $M/waiting.rs 'machine_store' \
    $'note_finished(key, bytes);\n        self.arm_run(key);' 'note_finished(key, bytes);'
mutant 'two runs of a session work at once' $M/runs.rs 'machine_store' 'line.len() > 1' 'false'
mutant 'a restart lets two runs of a session begin' $M/runs.rs 'sim' \
    'else if !self.runs.join_line(key, &record) {' \
    'else if [self.runs.join_line(key, &record); 1].len() == 1 {'
mutant 'a run does not hear what was said in its session' $M/runs.rs 'machine_store' \
    'let awaits_history = run.record.lineage != Lineage::Given;' \
    'let awaits_history = matches!(run.record.lineage, Lineage::After(_));'
mutant 'a run that was stopped early begins after all' $M/runs.rs 'machine_store' \
    'self.starting.remove(&key);' ''
mutant 'a working run is deleted' $M/runs.rs 'machine_store' \
    $'if !run.status.is_finished() {\n            return Err(Reject::RunNotFinished' \
    $'if run.status == Status::Queued {\n            return Err(Reject::RunNotFinished'
mutant 'a reader that falls behind loses the rest of its frame' $M/stream.rs 'machine_store' \
    'conn.outbox.extend_from_slice(rest);' 'let _ = rest;'
mutant 'a reader that falls behind misses an event' $M/stream.rs 'machine_store' \
    'stream.behind = Some(Behind { next_seq,' 'stream.behind = Some(Behind { next_seq: next_seq + 1,'
mutant 'a page shows more than may be shown' $M/stream.rs 'sim' '.take(count as usize)' ''
mutant 'readers of what was cleaned up wait for ever' $M/expiry.rs 'machine_store' \
    'run.subscribers.clone().into_iter().for_each(|id| self.close(id));' ''
mutant 'a store is cleaned up but once' $M/expiry.rs 'machine_store' \
    'self.wheel.insert(self.now.tick.after(pause), Timer::Prune);' 'let _ = pause;'
mutant 'another key sees a run in memory' $M/waiting.rs 'keys' \
    'self.runs.is_of(*key, &who.owner) && ' ''
mutant 'a key may do anything' $M/admit.rs 'keys' 'who.check(scope)?;' 'let _ = scope;'
mutant 'streams outlive their key' $M/keys.rs 'keys' \
    'gone.into_iter().for_each(|id| self.turn_away(id));' 'drop(gone);'
mutant 'a narrower key keeps its streams' $M/keyring.rs 'keys' \
    'allowed.covers(pass.scopes)' 'allowed != Scopes(0) || pass.scopes == allowed'
mutant 'a session of another key goes with one of its name' $M/runs.rs 'keys' \
    ' && *run.record.owner == *owner' ''
mutant 'a key waits for a run of another' $M/runs.rs 'keys' \
    '.filter(|run| *run.record.owner == *owner)?' '?'
mutant 'a key is answered the retry of another' $M/owners.rs 'keys' \
    'self.0.get(owner)?.by_idempotency_key.get(key)' \
    'self.0.values().filter(|_| !owner.is_empty()).find_map(|it| it.by_idempotency_key.get(key))'
mutant 'a key saves up requests for ever' $M/keyring.rs 'keys' '.min(per_minute * REQUEST)' ''
mutant 'a key is told too early when to ask again' $M/keyring.rs 'keys' \
    '.div_ceil(per_minute * 1_000)' '/ (per_minute * 1_000)'
mutant 'a key counts the runs that have ended' $M/owners.rs 'keys' 'owned.unfinished -= 1;' ''
mutant 'a new secret of a key is not masked' $M/keys.rs 'keys' \
    'self.secrets = self.config.known_secrets();' ''
mutant 'a new secret of a key has a full bucket' $M/keyring.rs 'keys' \
    'known.map_or(Bucket { level: u64::MAX, at: now }, |slot| slot.bucket)' \
    'same.map_or(Bucket { level: u64::MAX, at: now }, |slot| slot.bucket)'
mutant 'a webhook: it is tried for ever' $M/hooks.rs 'webhooks' \
    'settings.retries.get(delivery.tries as usize)' 'settings.retries.first()'
mutant 'a webhook: who asks for patience is given none' $M/hooks.rs 'webhooks' \
    '.max(asked.min(HOOK_PAUSE_MS_MAX))' '.max(asked.min(1))'
mutant 'a webhook: it is told of a deleted run' $M/hooks.rs 'webhooks' \
    '_ => self.hooks.remove(id),' '_ => {}'
mutant 'a webhook: what memory cannot hold is lost' $M/hooks.rs 'webhooks' \
    $'self.remove(id);\n            self.beyond = true;' 'self.remove(id);'
mutant 'a webhook: a slow one holds up all others' $M/hooks.rs 'webhooks' \
    '&& !self.is_busy(known.delivery.origin())' '&& self.flying().next().is_none()'
mutant 'leave: one for a session holds in all' $M/grants.rs 'approvals' \
    '.is_none_or(|id| *id == record.session_id)' '.is_none_or(|id| !id.is_empty())'
mutant 'leave: it holds for other arguments' $M/grants.rs 'approvals' \
    '*it.arguments == *arguments' '!it.arguments.is_empty() && !arguments.is_empty()'
mutant 'leave: what nobody decides is allowed' $M/approvals.rs 'approvals' \
    'settle_approval(key, Choice::Deny, true)' 'settle_approval(key, Choice::Once, true)'
mutant 'leave: a decision counts for another request' $M/approvals.rs 'approvals' \
    '|id| *id != *request.request_id' '|id| id.is_empty()'
mutant 'leave: whoever interrupts is not heard first' $M/approvals.rs 'approvals' \
    'any(|steer| steer.interrupt)' 'any(|steer| steer.interrupt && steer.text.is_empty())'
mutant 'a feed: a key watches the runs of others' $M/feed.rs 'feed' \
    'feed.watched.as_deref() == owner' 'feed.watched.is_some()'
mutant 'a feed: one run has it for itself' $M/feed.rs 'feed' \
    $'if self.until.take().is_some() {\n            self.cursors.rotate_left(1);' \
    $'if self.until.take().is_some() {'
mutant 'a feed: who comes late is not told so' $M/feed.rs 'feed' \
    'runs: Vec::new(), are_too_many: true' 'runs: Vec::new(), are_too_many: false'
mutant 'a feed: a refused one holds runs' $M/feed.rs 'feed' \
    $'Err(halt) => {\n                    self.give_back(&places);' 'Err(halt) => {'
mutant 'a status: a run began when it was asked for' $M/runs.rs 'runs' \
    'Waited::between(run.record.created, run.updated)' \
    'Waited::between(run.record.created, run.record.created)'

echo "$count mutants"
exit $survived
