use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Key slots: who can open the repository
#[derive(Debug, Args)]
pub(crate) struct Key {
    #[command(subcommand)]
    pub(crate) action: KeyAction,
}

/// What is done to key slots.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// List key slots
    List,
    /// Add a key slot with another password or key file
    Add {
        #[command(flatten)]
        new: NewSecret,
        /// Name of the slot
        #[arg(long, value_name = "TEXT", default_value = "")]
        label: String,
    },
    /// Remove a key slot; the last one stays
    Remove {
        /// Id of the slot, or its beginning
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Replace the slot that opened the repository by one with another password or key file
    Passwd {
        #[command(flatten)]
        new: NewSecret,
    },
}

/// The new password or key; without any of these, a password is asked for.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub(crate) struct NewSecret {
    /// File that holds the new password
    #[arg(long, value_name = "FILE")]
    pub(crate) new_password_file: Option<PathBuf>,
    /// New key file; it is made if it does not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) new_key_file: Option<PathBuf>,
}
