//! `POST /v1/runs/{id}/token`, and what whoever shows such a token may do.
//!
//! All of it is decided at the head of a request; what remains of the token afterwards is which
//! events its bearer is not told of.
use super::Machine;
use super::access::{Access, Who};
use super::pages::to_json;
use super::route::Route;
use crate::id::RunKey;
use crate::time::Wall;
use crate::wire::head::{Head, Method, query_value};
use crate::wire::redact::Redact;
use crate::wire::token::{self, Claims, PREFIX, Verb, Wanted};
use crate::wire::{Reject, TokenFlaw};
use serde_json::json;

/// The token a request shows: in place of a key, or in the query of a run's events, because an
/// EventSource can send no header. The header counts where there are both.
pub fn shown<'a>(head: &Head<'a>, route: Option<&Route>) -> Option<&'a str> {
    match (head.authorization, route) {
        (Some(_), _) => super::access::shown(head).filter(|shown| shown.starts_with(PREFIX)),
        (None, Some(Route::Events(_))) => query_value(head.query, "token"),
        _ => None,
    }
}

/// Whoever bears a token is who signed it, as far as its verbs go; tells what is left out for it.
pub fn redeem(
    token: &str,
    access: &Access,
    route: Option<&Route>,
    method: Method,
    now: Wall,
) -> Result<(Who, Redact), Reject> {
    let mut signer = None;
    let claims = token::open(token, |name| {
        let (secret, who) = access.keys.signer(name)?;
        signer = Some(who);
        Some(secret)
    })?;
    claims.check_time(now)?;
    if let Some(route) = route {
        check(&claims, route, method)?;
    }
    let decides = claims.verbs.contains(&Verb::Approve);
    let who = signer.expect("what is genuine has been signed by somebody").clone();
    Ok((who, Redact { decides, ..claims.redact }))
}

fn check(claims: &Claims, route: &Route, method: Method) -> Result<(), Reject> {
    if let Some(name) = route.run()
        && *name != *claims.run.to_string()
    {
        return Err(Reject::RunToken(TokenFlaw::Refused("is for another run")));
    }
    let needs = verb(route, method);
    if needs.is_some_and(|needs| claims.verbs.contains(&needs)) {
        return Ok(());
    }
    Err(Reject::RunToken(TokenFlaw::LacksVerb(needs.map(Verb::name))))
}

/// What a token must allow for this; `None` where no token will do.
fn verb(route: &Route, method: Method) -> Option<Verb> {
    match (route, method) {
        (Route::Run(_) | Route::Events(_), Method::Get | Method::Head) => Some(Verb::Watch),
        (Route::Steer(_), Method::Post) => Some(Verb::Steer),
        (Route::Approval(_), Method::Post) => Some(Verb::Approve),
        (Route::Stop(_), Method::Post) => Some(Verb::Stop),
        _ => None,
    }
}

impl Machine {
    /// The answer: a token under the key of who asks. Nothing is kept of it.
    pub(super) fn mint_token(
        &self,
        who: &Who,
        run: RunKey,
        body: &[u8],
    ) -> Result<Vec<u8>, Reject> {
        let wanted = Wanted::parse(body)?;
        // Where everyone is let in, there is neither a secret to sign with nor a need to.
        let (secret, _) = self.access.keys.signer(&who.owner).ok_or(Reject::NotFound)?;
        let run = self.runs.get(run).expect("the caller just found it").id();
        // Rounded up: it is good for as long as was asked, or a little longer.
        let exp = self.now.wall.0.div_ceil(1_000_000) + wanted.lifetime_s;
        let (verbs, redact) = (wanted.verbs, wanted.redact);
        let claims = Claims { key: who.owner.to_string(), run, exp, verbs, redact };
        Ok(to_json(&json!({
            "object": "hermes.run.token",
            "run_id": run.to_string(),
            "token": token::mint(secret, &claims),
            "expires_at": Wall(exp * 1_000_000).as_float(),
            "verbs": claims.verb_names(),
            "redact": redact.names(),
        })))
    }
}
