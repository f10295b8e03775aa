//! Where a chat's turns are worked on: in this process, or on a server.
use super::args::Place;
#[cfg(feature = "llm")]
use super::client::Client;
use super::env::Env;
#[cfg(feature = "llm")]
use super::follow::follow;
#[cfg(feature = "llm")]
use super::remote::{Events, decide, stop_aside};
use super::run::{Begun, Handle, Remembered, random_id};
use super::settings::Settings;
use super::setup;
use super::step::End;
use super::watch::Watch;
use runwire::agent::{Cause, Secrets, ToolAgent};
use runwire::approval::Choice;
use runwire::budget::Budget;
use runwire::request::{Content, Request, Steer};
use runwire::store::transcript::{answer, question};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whoever answers.
pub enum Partner {
    Here(Box<Here>),
    #[cfg(feature = "llm")]
    There(Arc<Client>),
}

/// An agent in this process, and what it was told in each session.
pub struct Here {
    agent: Arc<ToolAgent>,
    secrets: Secrets,
    budget: Budget,
    sessions: BTreeMap<String, Remembered>,
}

/// A turn that is being worked on.
pub enum Turn {
    Here(Begun, Remembered),
    #[cfg(feature = "llm")]
    There(Arc<Client>, String),
}

/// By which a turn is stopped, steered, and given leave.
#[derive(Clone)]
pub enum Control {
    Here(Handle),
    #[cfg(feature = "llm")]
    There(Arc<Client>, String),
}

impl Partner {
    /// A server is asked whether it is there, and takes the key.
    pub fn new(settings: &Settings, place: &Place, env: &Env) -> Result<Partner, String> {
        match place {
            Place::Here(model) => Ok(Partner::Here(Box::new(Here {
                agent: Arc::new(setup::local_agent(settings, model, env)?),
                secrets: setup::secrets(settings, model, env),
                budget: settings.config.budget,
                sessions: BTreeMap::new(),
            }))),
            #[cfg(feature = "llm")]
            Place::Server(url) => {
                let client = Client::new(url, &super::key_for(settings, env)?);
                let models = client.get("/v1/models");
                models.map_err(super::client::Refused::into_text)?;
                Ok(Partner::There(Arc::new(client)))
            }
            #[cfg(not(feature = "llm"))]
            Place::Server(_) => Err(super::NO_CLIENT.to_owned()),
        }
    }

    /// Begins to work on what the user says in a session.
    pub fn begin(&mut self, session: &str, text: &str) -> Result<Turn, String> {
        match self {
            Partner::Here(here) => here.begin(session, text),
            #[cfg(feature = "llm")]
            Partner::There(client) => {
                let run_id = client.post_run(text, Some(session))?;
                Ok(Turn::There(client.clone(), run_id))
            }
        }
    }
}

impl Here {
    fn begin(&mut self, session: &str, text: &str) -> Result<Turn, String> {
        let remembered = self.sessions.entry(session.to_owned()).or_default().clone();
        let mut request = Request::text(random_id()?, text);
        request.session_id = session.to_owned();
        request.history = remembered.messages();
        remembered.add(question(&Content::Text(text.to_owned())));
        let (agent, secrets) = (self.agent.clone(), self.secrets.clone());
        let begun = Begun::start(agent, request, secrets, self.budget, remembered.clone())?;
        Ok(Turn::Here(begun, remembered))
    }
}

const TOO_LATE: &str = "The turn was over before it could hear that. Say it again.";

impl Turn {
    pub fn control(&self) -> Control {
        match self {
            Turn::Here(begun, _) => Control::Here(begun.handle.clone()),
            #[cfg(feature = "llm")]
            Turn::There(client, run_id) => Control::There(client.clone(), run_id.clone()),
        }
    }

    /// Shows it to its end.
    pub fn follow(self, watch: &mut Watch, budget: Budget) -> Result<(), String> {
        match self {
            Turn::Here(begun, remembered) => {
                let inbox = begun.handle.inbox.clone();
                begun.follow(watch, budget.wall);
                if !inbox.is_empty() {
                    log::warn!("{TOO_LATE}");
                }
                let output = match watch.end() {
                    Some(End::Completed { output, .. }) => Some(output),
                    Some(End::Failed { output, .. } | End::Cancelled { output }) => Some(output),
                    _ => None,
                };
                if let Some(message) = answer(output.map(String::as_str)) {
                    remembered.add(message);
                }
                Ok(())
            }
            #[cfg(feature = "llm")]
            Turn::There(client, run_id) => {
                let path = format!("/v1/runs/{run_id}");
                let events = Events::of(client.clone(), run_id, None)?;
                if follow(&events.news, watch, None, &mut || {}).is_err() {
                    return Ok(());
                }
                events.end()?;
                if client.get(&path).is_ok_and(|status| status["pending_steer"].is_string()) {
                    log::warn!("{TOO_LATE}");
                }
                Ok(())
            }
        }
    }
}

impl Control {
    pub fn stop(&self) {
        match self {
            Control::Here(handle) => handle.cancel.cancel(Cause::Stop),
            #[cfg(feature = "llm")]
            Control::There(client, run_id) => stop_aside(client.clone(), run_id.clone()),
        }
    }

    pub fn steer(&self, text: &str) {
        match self {
            Control::Here(handle) => {
                handle.inbox.push(Arc::new(Steer { text: text.to_owned(), interrupt: false }));
            }
            #[cfg(feature = "llm")]
            Control::There(client, run_id) => {
                if let Err(error) = client.steer(run_id, text, false) {
                    log::warn!("The run was not told: {error}");
                }
            }
        }
    }

    pub fn decide(&self, request_id: &str, choice: Choice) {
        match self {
            Control::Here(handle) => handle.decide(request_id, choice),
            #[cfg(feature = "llm")]
            Control::There(client, run_id) => decide(client, run_id, request_id, choice),
        }
    }

    /// True where questions that nobody can be asked here are denied: nobody else could answer.
    pub fn is_here(&self) -> bool {
        matches!(self, Control::Here(_))
    }
}
