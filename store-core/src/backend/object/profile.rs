//! Keys of an AWS profile: `~/.aws/credentials` and `~/.aws/config`, as the `aws` program writes them. Profiles that name a program, a role or a
//! single sign-on are not understood; the environment variables that such tools export are.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

use super::Variables;
use crate::error::{Error, ErrorKind};

/// Keys of one profile.
type Keys = BTreeMap<String, String>;

/// Adds region and endpoint of the profile that `AWS_PROFILE` names, or of `default`, as far as the environment does not give them; and key, secret and
/// token, which belong together, where it gives no key.
pub(super) fn apply(mut builder: AmazonS3Builder, variables: &Variables) -> Result<AmazonS3Builder, Error> {
    let asked = variables.get("AWS_PROFILE").or_else(|| variables.get("AWS_DEFAULT_PROFILE"));
    let lacks_key = builder.get_config_value(&AmazonS3ConfigKey::AccessKeyId).is_none();
    let name = asked.unwrap_or("default");
    let mut keys = read(variables, "AWS_CONFIG_FILE", "config", name)?;
    keys.extend(read(variables, "AWS_SHARED_CREDENTIALS_FILE", "credentials", name)?);
    if asked.is_some() && lacks_key && !keys.contains_key("aws_access_key_id") {
        let message = format!("AWS_PROFILE: no aws_access_key_id is in the profile '{name}' of ~/.aws/credentials or ~/.aws/config");
        return Err(Error::new(ErrorKind::Usage, message));
    }
    for (key, value) in keys {
        let key = match key.as_str() {
            "aws_access_key_id" if lacks_key => AmazonS3ConfigKey::AccessKeyId,
            "aws_secret_access_key" if lacks_key => AmazonS3ConfigKey::SecretAccessKey,
            "aws_session_token" if lacks_key => AmazonS3ConfigKey::Token,
            "region" => AmazonS3ConfigKey::Region,
            "endpoint_url" => AmazonS3ConfigKey::Endpoint,
            _ => continue,
        };
        if builder.get_config_value(&key).is_none() {
            builder = builder.with_config(key, value);
        }
    }
    Ok(builder)
}

fn read(variables: &Variables, variable: &str, file: &str, profile: &str) -> Result<Keys, Error> {
    let home = || Some(PathBuf::from(variables.get("HOME")?).join(".aws").join(file));
    let Some(path) = variables.get(variable).map(PathBuf::from).or_else(home) else { return Ok(Keys::new()) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(keys(&text, profile)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Keys::new()),
        Err(error) => Err(Error::with(ErrorKind::Usage, format!("{} cannot be read", path.display()), error)),
    }
}

/// The keys below `[profile]`, or `[profile NAME]` as the config file has it. What is indented belongs to the key above, and is passed over.
fn keys(text: &str, profile: &str) -> Keys {
    let mut is_it = false;
    let mut keys = Keys::new();
    for line in text.lines() {
        if let Some(section) = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let section = section.trim();
            is_it = section == profile || section.strip_prefix("profile ").is_some_and(|name| name.trim() == profile);
        } else if is_it
            && !line.starts_with([' ', '\t', '#', ';'])
            && let Some((key, value)) = line.split_once('=')
        {
            keys.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_has_its_own_keys() {
        let text = "[default]\naws_access_key_id = A\n# aws_access_key_id = X\n[profile other]\nregion=eu-1\ns3 =\n  region = no\n[last]\naws_access_key_id=B\n";
        assert_eq!(keys(text, "default"), Keys::from([("aws_access_key_id".into(), "A".into())]));
        assert_eq!(keys(text, "other"), Keys::from([("region".into(), "eu-1".into()), ("s3".into(), String::new())]));
        assert_eq!(keys(text, "last")["aws_access_key_id"], "B");
        assert!(keys(text, "none").is_empty());
    }
}
