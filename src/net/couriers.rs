//! The threads that post to webhooks: one for each delivery on its way, of which the machine lets
//! there be only a few. They tell the loop what came of it, and are left behind at its end: whoever
//! was told twice knows it by the delivery's id.
use super::doorbell::Doorbell;
use super::workers::STACK_BYTES;
use crate::agent::model::webhook::{Courier, Ways};
use crate::agent::{Cancel, Cause};
use crate::config::Webhooks;
use crate::id::HookId;
use crate::limits::HOOKS_FLYING_MAX;
use crate::machine::Input;
use crate::record::{Delivered, Delivery};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

pub struct Couriers {
    courier: Courier,
    /// Ends tries that are under way.
    cancel: Cancel,
    news_out: Sender<(HookId, Delivered)>,
    news: Receiver<(HookId, Delivered)>,
    doorbell: Arc<Doorbell>,
}

impl Couriers {
    pub fn new(webhooks: &Webhooks, doorbell: Arc<Doorbell>) -> Result<Couriers, String> {
        let (news_out, news) = bounded(HOOKS_FLYING_MAX);
        let courier = Courier::new(webhooks, Ways::default())?;
        Ok(Couriers { courier, cancel: Cancel::new(), news_out, news, doorbell })
    }

    pub fn send(&self, delivery: Arc<Delivery>) {
        let (courier, cancel) = (self.courier.clone(), self.cancel.clone());
        let (news, doorbell) = (self.news_out.clone(), self.doorbell.clone());
        let id = delivery.id;
        let work = move || {
            let crashed =
                |_| Delivered::Failed { why: "the client crashed".into(), retry_after: None };
            let deliver = AssertUnwindSafe(|| courier.deliver(&delivery, &cancel));
            let delivered = catch_unwind(deliver).unwrap_or_else(crashed);
            // A loop that is gone has nobody left to tell.
            if news.send((id, delivered)).is_ok() {
                doorbell.ring();
            }
        };
        let thread = thread::Builder::new().name("runwire-hook".to_owned()).stack_size(STACK_BYTES);
        if let Err(error) = thread.spawn(work) {
            let why = format!("no thread for it: {error}").into();
            let delivered = Delivered::Failed { why, retry_after: None };
            self.news_out.send((id, delivered)).expect("this is its other end");
            self.doorbell.ring();
        }
    }

    pub fn hear(&self) -> Option<Input<'static>> {
        let (id, delivered) = self.news.try_recv().ok()?;
        Some(Input::Delivered { id, delivered })
    }
}

impl Drop for Couriers {
    fn drop(&mut self) {
        self.cancel.cancel(Cause::Shutdown);
    }
}
