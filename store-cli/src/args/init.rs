use clap::Args;

/// Create a repository: in ./.snap, unless another place is named
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  snap init                                  asks for a password, makes ./.snap
  snap init -r /backup/models -p ~/.snap-password
  snap init -r s3://bucket/models            with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION or AWS_ENDPOINT_URL
  snap init -r /backup/models --key-file ~/.snap-key   makes the key file if it does not exist

So that it need not be named each time: SNAP_REPOSITORY, or a file snap.toml beside what is pushed, or ~/.config/snap/default.toml, with
  [repository]
  repository = \"/backup/models\"
  password-file = \"~/.snap-password\"
README.md, 'Config files', has all keys.")]
pub(crate) struct Init {
    /// Name of the first key slot
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) label: String,
}
