use std::path::Path;

use store_core::base::ids::SlotId;
use store_core::format::keyslot::{Kdf, SlotInfo};
use store_core::ops::key;
use store_core::repo::{Repo, Secrets};

use super::Context;
use crate::args::{Key, KeyAction};
use crate::exit::{Failure, Outcome, Result};
use crate::output::human::{local_time, printable, rfc3339};
use crate::output::json::Message;
use crate::output::table::{Column, layout};
use crate::secrets;

pub(super) fn run(context: &Context, args: Key) -> Result {
    match args.action {
        KeyAction::List => {
            let (repo, secrets) = context.open_with()?;
            list(context, &repo, &secrets)?;
        }
        KeyAction::Add { new, label } => {
            context.refuse_dry_run("key add")?;
            let repo = context.open()?;
            let id = key::add(&repo, &secrets::further(&new, |path| made(context, path))?, &label)?;
            added(context, id)?;
        }
        KeyAction::Remove { id } => {
            context.refuse_dry_run("key remove")?;
            let (repo, secrets) = context.open_with()?;
            let id = find(&repo, &id)?;
            key::remove(&repo, id, &secrets)?;
            let mut out = context.ui.out();
            if context.ui.json {
                out.json(&Message::KeyRemoved { id: id.to_string() })?;
            } else if !context.ui.quiet {
                out.line(format_args!("removed key slot {}", id.short()))?;
            }
            out.done()?;
        }
        KeyAction::Passwd { new } => {
            context.refuse_dry_run("key passwd")?;
            let (repo, old) = context.open_with()?;
            let replaced = repo.slot_of(&old)?;
            let label = key::list(&repo)?
                .into_iter()
                .find(|(id, _)| Some(*id) == replaced)
                .and_then(|(_, info)| info)
                .map_or_else(String::new, |info| info.label);
            let id = key::passwd(&repo, &old, &secrets::further(&new, |path| made(context, path))?, &label)?;
            added(context, id)?;
        }
    }
    Ok(Outcome::Done)
}

fn made(context: &Context, path: &Path) {
    context.ui.note(&format!("made the key file {}: keep a copy elsewhere", path.display()));
}

fn added(context: &Context, id: SlotId) -> Result<()> {
    let mut out = context.ui.out();
    if context.ui.json {
        out.json(&Message::KeyAdded { id: id.to_string() })?;
    } else if context.ui.quiet {
        out.line(id)?;
    } else {
        out.line(format_args!("{}  new key slot", id.short()))?;
    }
    out.done()
}

fn list(context: &Context, repo: &Repo, secrets: &Secrets) -> Result<()> {
    let slots = key::list(repo)?;
    let current = repo.slot_of(secrets)?;
    let mut out = context.ui.out();
    if context.ui.json {
        for (id, info) in slots.iter().filter_map(|(id, info)| Some((id, info.as_ref()?))) {
            let created = rfc3339(info.created, 0);
            let current = current == Some(*id);
            out.json(&Message::Key { id: id.to_string(), label: &info.label, host: &info.host, created, kind: kind(info), current })?;
        }
    } else {
        let columns = ["", "id", "created", "host", "opens with", "label"].map(Column::Left);
        let rows = slots.iter().map(|(id, info)| {
            let Some(info) = info else {
                return vec![String::new(), id.short(), String::new(), String::new(), "cannot be read".to_owned(), String::new()];
            };
            vec![
                if current == Some(*id) { "*" } else { "" }.to_owned(),
                id.short(),
                local_time(info.created),
                printable(info.host.as_bytes()),
                kind(info).to_owned(),
                printable(info.label.as_bytes()),
            ]
        });
        std::io::Write::write_all(&mut out, layout(&columns, rows).as_bytes())?;
    }
    out.done()
}

fn kind(info: &SlotInfo) -> &'static str {
    match info.kdf {
        Kdf::Argon2id { .. } => "password",
        Kdf::KeyFile => "key file",
    }
}

/// The slot whose id begins so.
fn find(repo: &Repo, text: &str) -> Result<SlotId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let mut fitting = key::list(repo)?.into_iter().map(|(id, _)| id).filter(|id| id.to_string().starts_with(text));
    match (text.len() >= 4, fitting.next(), fitting.next()) {
        (false, ..) => Err(Failure::usage(format!("'{text}' is too short for the beginning of a key slot's id: give 4 digits or more"))),
        (_, Some(id), None) => Ok(id),
        (_, None, _) => Err(Failure::usage(format!("there is no key slot {text}")).hint("`snap key list` shows all")),
        (_, Some(_), Some(_)) => Err(Failure::usage(format!("several key slots begin with {text}")).hint("give more digits")),
    }
}
