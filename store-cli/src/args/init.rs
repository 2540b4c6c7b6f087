use clap::Args;

/// Create a repository: in ./.snap, unless another place is named
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  snap init                                  asks for a password, makes ./.snap
  snap init -r /backup/models -p ~/.snap-password
  snap init -r s3://bucket/models            with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION or AWS_ENDPOINT_URL
  snap init -r /backup/models --key-file ~/.snap-key   makes the key file if it does not exist")]
pub(crate) struct Init {
    /// Name of the first key slot
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) label: String,
}
