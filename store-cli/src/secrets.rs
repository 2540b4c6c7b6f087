//! Passwords and key files: from where they are kept to the library, in memory that is wiped. Never from an argument, which every
//! process can see, and never into a message.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use store_core::crypto::{Secret, parse_key_file, write_key_file};
use store_core::ops::ErrorKind;
use store_core::repo::Secrets;
use zeroize::{Zeroize, Zeroizing};

use crate::args::NewSecret;
use crate::exit::{Failure, Result};
use crate::settings::{Access, Origin, Password, Value};

/// Longer is no password and no key file, but a wrong file.
const MOST: u64 = 64 << 10;

/// A secret as bytes.
type Bytes = Zeroizing<Vec<u8>>;

/// What the user offers to open a repository, and whether it was typed, so that a wrong one may be typed again.
pub(crate) struct Offered {
    pub(crate) secrets: Secrets,
    pub(crate) typed: bool,
}

/// What opens an existing repository. Without a password and a key file, one is asked for where there is a terminal.
pub(crate) fn existing(access: &Access) -> Result<Offered> {
    let key_file = access.key_file.as_ref().map(key_from).transpose()?;
    let (passphrase, typed) = match &access.password {
        Some(password) => (Some(password_from(password)?), false),
        None if key_file.is_some() => (None, false),
        None => (Some(ask(access.prompt, access.hint)?), true),
    };
    Ok(Offered { secrets: Secrets { passphrase, key_file }, typed })
}

/// What is to open a new repository. A password is asked for twice; a key file is made if it does not exist, and then `made` is called.
pub(crate) fn first(access: &Access, made: impl FnOnce(&Path)) -> Result<Secrets> {
    // What was typed beats what the environment or a file says.
    let typed = |origin: &Origin| matches!(origin, Origin::Flag(_));
    if let Some(Value { value: path, origin }) = &access.key_file
        && access.password.as_ref().is_none_or(|password| typed(origin) && !typed(&password.origin))
    {
        let (key, new) = key_or_new(path)?;
        if new {
            made(path);
        }
        return Ok(Secrets { passphrase: None, key_file: Some(key) });
    }
    let key_file = access.key_file.as_ref().map(key_from).transpose()?;
    let passphrase = match &access.password {
        Some(password) => password_from(password)?,
        None => ask_twice(access.hint)?,
    };
    Ok(Secrets { passphrase: Some(passphrase), key_file })
}

/// What is to open a further key slot.
pub(crate) fn further(new: &NewSecret, made: impl FnOnce(&Path)) -> Result<Secrets> {
    if let Some(path) = &new.new_key_file {
        let (key, new) = key_or_new(path)?;
        if new {
            made(path);
        }
        return Ok(Secrets { passphrase: None, key_file: Some(key) });
    }
    let passphrase = match &new.new_password_file {
        Some(path) => password_from_file(path, &Origin::Flag("--new-password-file"))?,
        None => ask_twice("give --new-password-file FILE or --new-key-file FILE")?,
    };
    Ok(Secrets { passphrase: Some(passphrase), key_file: None })
}

fn password_from(Value { value, origin }: &Value<Password>) -> Result<Bytes> {
    match value {
        Password::File(path) => password_from_file(path, origin),
        Password::Command(command) => password_from_command(command, origin),
        Password::Variable(name) => {
            let value = Zeroizing::new(env::var_os(name).map(OsString::into_vec).unwrap_or_default());
            not_empty(value, origin)
        }
    }
}

fn password_from_file(path: &Path, origin: &Origin) -> Result<Bytes> {
    not_empty(first_line(read(path, origin)?), origin)
}

fn password_from_command(command: &str, origin: &Origin) -> Result<Bytes> {
    let words = shell_words::split(command).map_err(|_| Failure::usage(format!("{origin}: a quote is not closed")))?;
    let [program, arguments @ ..] = words.as_slice() else { return Err(Failure::usage(format!("{origin}: no program is named"))) };
    let fail = |error: io::Error| Failure::with(ErrorKind::Failed, format_args!("{origin}: '{program}' cannot be run"), &error);
    let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn().map_err(fail)?;
    let output = match child.stdout.take() {
        Some(stdout) => read_all(stdout).map_err(fail),
        None => Err(fail(io::ErrorKind::BrokenPipe.into())),
    };
    let status = child.wait().map_err(fail)?;
    if !status.success() {
        return Err(Failure::new(ErrorKind::Failed, format!("{origin}: '{program}' failed: {status}")));
    }
    not_empty(first_line(output?), origin)
}

/// A password file ends with a newline or does not; a password never does.
fn first_line(mut bytes: Bytes) -> Bytes {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let end = if end > 0 && bytes[end - 1] == b'\r' { end - 1 } else { end };
    bytes[end..].zeroize();
    bytes.truncate(end);
    bytes
}

fn not_empty(bytes: Bytes, origin: &Origin) -> Result<Bytes> {
    if bytes.is_empty() { Err(Failure::usage(format!("{origin}: the password is empty"))) } else { Ok(bytes) }
}

fn key_from(Value { value: path, origin }: &Value<std::path::PathBuf>) -> Result<Secret> {
    let text = read(path, origin)?;
    // Only a file can be left open to others; a pipe, as from process substitution, cannot.
    if let Ok(meta) = fs::metadata(path)
        && meta.is_file()
        && meta.mode() & 0o077 != 0
    {
        return Err(Failure::new(ErrorKind::Refused, format!("others than its owner can read or change the key file {}", path.display()))
            .hint(format!("chmod 600 {}", path.display())));
    }
    parse_key_file(&text).map_err(|error| Failure::with(ErrorKind::Usage, format_args!("{origin}: {}", path.display()), &error))
}

/// The key in the file at `path`, and whether the file had to be made.
fn key_or_new(path: &Path) -> Result<(Secret, bool)> {
    let fail = |error: io::Error| Failure::with(ErrorKind::Failed, format_args!("the key file {} cannot be made", path.display()), &error);
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Ok((key_from(&Value { value: path.to_owned(), origin: Origin::Flag("the key file") })?, false));
        }
        Err(error) => return Err(fail(error)),
    };
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| fail(io::Error::other(error)))?;
    let secret = Secret::take(&mut bytes);
    let written = file.write_all(write_key_file(&secret).as_bytes()).and_then(|()| file.sync_all());
    written.inspect_err(|_| drop(fs::remove_file(path))).map_err(fail)?;
    Ok((secret, true))
}

fn read(path: &Path, origin: &Origin) -> Result<Bytes> {
    let fail = |error: io::Error| Failure::with(ErrorKind::Usage, format_args!("{origin}: {} cannot be read", path.display()), &error);
    File::open(path).and_then(read_all).map_err(fail)
}

/// Reads everything without leaving copies behind, as a growing buffer would.
fn read_all(mut from: impl Read) -> io::Result<Bytes> {
    let mut bytes = Zeroizing::new(vec![0; MOST as usize + 1]);
    let mut len = 0;
    loop {
        match from.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if len > MOST as usize {
            return Err(io::Error::other(format!("more than {MOST} bytes are no password and no key")));
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

fn ask_twice(hint: &str) -> Result<Bytes> {
    let password = ask("New password: ", hint)?;
    if ask("The same again: ", hint)? == password { Ok(password) } else { Err(Failure::usage("the two passwords differ")) }
}

fn ask(prompt: &str, hint: &str) -> Result<Bytes> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("no password is given, and there is no terminal to ask for it").hint(hint));
    }
    let password =
        rpassword::prompt_password(prompt).map_err(|error| Failure::with(ErrorKind::Failed, "the password cannot be read", &error))?;
    let password = Zeroizing::new(password.into_bytes());
    if password.is_empty() { Err(Failure::usage("the password is empty")) } else { Ok(password) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const HERE: Origin = Origin::Flag("--test");

    fn bytes(text: &str) -> Bytes {
        Zeroizing::new(text.as_bytes().to_vec())
    }

    #[test]
    fn a_password_is_the_first_line() {
        for text in ["secret", "secret\n", "secret\r\n", "secret\nmore\n"] {
            assert_eq!(first_line(bytes(text)), bytes("secret"));
        }
        assert!(not_empty(first_line(bytes("\nx")), &HERE).is_err());
    }

    #[test]
    fn a_command_is_split_and_run_without_a_shell() {
        assert_eq!(password_from_command("printf '%s\\n' 'two words; $HOME'", &HERE).unwrap(), bytes("two words; $HOME"));
        assert!(password_from_command("false", &HERE).unwrap_err().to_string().contains("failed"));
        assert!(password_from_command("echo 'x", &HERE).is_err());
        assert!(password_from_command("", &HERE).is_err());
    }

    #[test]
    fn a_key_file_is_made_for_its_owner_and_refused_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let (made, new) = key_or_new(&path).unwrap();
        assert!(new);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let (read, new) = key_or_new(&path).unwrap();
        assert!(!new && read.expose() == made.expose());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(key_or_new(&path).unwrap_err().code(), 13);
    }

    #[test]
    fn a_huge_password_file_is_a_wrong_file() {
        assert!(read_all(io::repeat(b'x')).is_err());
        assert_eq!(read_all(&b"x"[..]).unwrap(), bytes("x"));
    }
}
