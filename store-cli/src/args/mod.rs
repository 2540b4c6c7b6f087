//! What can be typed: one file a verb, and what all of them have in common. Nothing here acts, and nothing here reads the
//! environment: a value that was not typed is looked for by [`crate::settings`], which can say where it came from.

mod bench;
mod check;
mod copy;
mod diff;
mod dump;
mod filter;
mod forget;
mod global;
mod init;
mod key;
mod list;
mod ls;
mod prune;
mod push;
mod repair;
mod restore;
mod shell;
mod stats;
mod tag;

use clap::{Parser, Subcommand};

pub(crate) use bench::Bench;
pub(crate) use check::{Check, Subset};
pub(crate) use copy::{Copy, CopyTo, To};
pub(crate) use diff::Diff;
pub(crate) use dump::Dump;
pub(crate) use filter::Filters;
pub(crate) use forget::{Forget, Keep};
pub(crate) use global::Global;
pub(crate) use init::Init;
pub(crate) use key::{Key, KeyAction, NewSecret};
pub(crate) use list::List;
pub(crate) use ls::Ls;
pub(crate) use prune::Prune;
pub(crate) use push::Push;
pub(crate) use repair::{Repair, RepairAction, RepairPacks, RepairSnapshots};
pub(crate) use restore::{From, Overwrite, Restore};
pub(crate) use shell::{Completion, Man};
pub(crate) use stats::Stats;
pub(crate) use tag::Tag;

/// Keeps every version of large files for the price of what changed.
#[derive(Debug, Parser)]
#[command(name = "snap", version, subcommand_required = true, arg_required_else_help = true, max_term_width = 110)]
#[command(after_help = "Exit codes: 0 success, 1 failure, 2 bad usage, 3 some source could not be read, 10 no such repository, 11 busy, \
12 wrong password or key, 13 refused, 15 damage found, 16 unreachable, 17 no space, 130 interrupted.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Init(Init),
    #[command(aliases = ["backup", "create", "save"])]
    Push(Box<Push>),
    #[command(aliases = ["snapshots", "log"])]
    List(List),
    Ls(Ls),
    #[command(aliases = ["extract", "pull"])]
    Restore(Box<Restore>),
    #[command(alias = "cat")]
    Dump(Dump),
    Diff(Diff),
    Tag(Box<Tag>),
    Forget(Box<Forget>),
    #[command(aliases = ["verify", "fsck"])]
    Check(Check),
    #[command(aliases = ["gc", "compact"])]
    Prune(Prune),
    Copy(Box<Copy>),
    Stats(Stats),
    Bench(Bench),
    Key(Key),
    Repair(Repair),
    Completion(Completion),
    Man(Man),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_do_not_contradict_themselves() {
        Cli::command().debug_assert();
    }

    #[test]
    fn aliases_are_understood_and_hidden() {
        for (alias, verb) in
            [("backup", "push"), ("save", "push"), ("log", "list"), ("pull", "restore"), ("cat", "dump"), ("fsck", "check")]
        {
            let command = Cli::command();
            let found = command.find_subcommand(alias).unwrap();
            assert_eq!(found.get_name(), verb);
            assert_eq!(found.get_visible_aliases().count(), 0);
        }
    }

    #[test]
    fn globals_may_stand_before_and_after_the_verb() {
        for line in [["snap", "-r", "x", "list"], ["snap", "list", "-r", "x"]] {
            assert_eq!(Cli::try_parse_from(line).unwrap().global.repo.as_deref(), Some("x".as_ref()));
        }
    }
}
