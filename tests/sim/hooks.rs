//! The other side of webhooks: it takes deliveries, or fails, and sees that each is what it was.
use crate::random::Random;
use crate::world::{Stock, World};
use runwire::config::{Webhook, Webhooks};
use runwire::id::HookId;
use runwire::machine::Input;
use runwire::record::{Delivered, Delivery};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What was posted, and what is on its way.
#[derive(Default)]
pub struct Mail {
    /// Bodies of what was taken at least once.
    pub posted: BTreeMap<HookId, Box<str>>,
    /// Bodies of what was tried.
    tried: BTreeMap<HookId, Box<str>>,
    pub flying: Vec<Arc<Delivery>>,
    pub again: u64,
    /// Whoever is told takes everything from now on.
    is_kind: bool,
}

/// In some worlds somebody is told of all runs.
pub fn webhooks(random: &mut Random) -> Option<Webhooks> {
    let is_wanted = random.once_in(3) && cfg!(feature = "webhooks");
    is_wanted.then(|| {
        let mut webhooks = Webhooks::new(vec![7; 32]);
        webhooks.all_runs = Webhook::new("https://hooks.example/?secret").ok();
        // Never given up within a world.
        webhooks.retries = vec![Duration::from_secs(1); 10_000];
        webhooks
    })
}

impl World {
    pub fn post(&mut self, delivery: Arc<Delivery>) {
        if let Stock::Durable(depot) = &self.stock {
            let content = &depot.committed;
            let is_there = content.hooks.contains_key(&delivery.id);
            let run = content.runs.get(&delivery.run);
            assert!(is_there || run.is_none(), "{} goes out before it is stored", delivery.id);
            let says = |line: &str| delivery.body.contains(line.trim_end());
            let is_told = run.is_none_or(|run| run.lines.iter().any(|line| says(line)));
            assert!(is_told, "it tells of what is not stored: {}", delivery.body);
        }
        self.mail.again += u64::from(self.mail.tried.contains_key(&delivery.id));
        let known = self.mail.tried.entry(delivery.id).or_insert(delivery.body.clone());
        assert_eq!(*known, delivery.body, "a delivery has changed between two tries");
        assert!(self.mail.flying.is_empty(), "two on their way to one origin");
        self.mail.flying.push(delivery);
    }

    /// What was on its way has come to its end, or not.
    pub fn mail_returns(&mut self) {
        let is_kind = self.mail.is_kind;
        if self.mail.flying.is_empty() || !is_kind && !self.random.once_in(3) {
            return;
        }
        let delivery = self.mail.flying.pop().expect("it was there a moment ago");
        let id = delivery.id;
        let fails = !is_kind && self.random.once_in(2);
        let delivered = if fails {
            let retry_after = self.random.once_in(4).then(|| Duration::from_secs(3));
            // What was not answered may have been taken.
            Delivered::Failed { why: "500".into(), retry_after }
        } else {
            self.mail.posted.insert(id, delivery.body.clone());
            Delivered::Done
        };
        self.tell(Input::Delivered { id, delivered });
    }

    /// All that was ever to be told is told in the end.
    pub fn mail_is_delivered(&mut self) {
        self.mail.is_kind = true;
        for _ in 0..100_000 {
            let Stock::Durable(depot) = &self.stock else { return };
            if depot.committed.hooks.is_empty() || self.config.webhooks.is_none() {
                return;
            }
            self.heal();
            self.pass(1_000);
            self.store_catches_up();
            self.turn();
        }
        panic!("deliveries are left behind");
    }
}
