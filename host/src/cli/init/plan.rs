//! What one vendor needs as a source: its table, its secret, and what a person does at the vendor.

use super::super::exit::Failure;
use crate::config::vendors::{self, IssuedBy, Vendor};
use crate::config::{self, ENV_FILE};
use crate::model::{Secret, printable};
use crate::verify::{Proof, Scheme, TokenIn};

/// As many as an HMAC-SHA256 has; written as twice as many hexadecimal digits.
const SECRET_BYTES: usize = 32;
/// The user name of a generated password.
const USER: &str = "dispatcher";
const LISTED: &str = "`dispatcher verify --list` lists all of them";

/// A source that is written.
pub(super) struct Plan {
    pub(super) vendor: &'static Vendor,
    scheme: &'static Scheme,
    /// The scheme must be written, because the vendor's name does not give it.
    writes_scheme: bool,
    /// `None`: the vendor shows it.
    pub(super) secret: Option<Secret>,
}

impl Plan {
    /// For the vendor of that name, with a new secret if the user chooses it.
    pub(super) fn of(name: &str) -> Result<Self, Failure> {
        let vendor = known(name)?;
        let to_write = vendors::scheme_to_write(vendor);
        let scheme = vendors::scheme(to_write.unwrap_or(vendor.name));
        let scheme: &Scheme =
            scheme.ok_or_else(|| Failure::new(format!("`{name}` has no scheme")))?;
        let setup = to_write.and_then(vendors::vendor).map_or(&vendor.setup, |like| &like.setup);
        let is_public = scheme.signature().is_some_and(|signature| {
            signature.marks.iter().any(|mark| !mark.algorithm.is_symmetric())
        });
        let shown = is_public || setup.issued_by == Some(IssuedBy::Vendor);
        let secret = if shown || !scheme.has_secrets() { None } else { Some(new_secret(scheme)?) };
        Ok(Self { vendor, scheme, writes_scheme: to_write.is_some(), secret })
    }

    pub(super) const fn name(&self) -> &'static str {
        self.vendor.name
    }

    pub(super) fn variable(&self) -> &str {
        &self.vendor.setup.variable
    }

    /// The vendor signs the address that it was given.
    pub(super) fn signs_address(&self) -> bool {
        self.scheme.needs_public_url()
    }

    /// The table for dispatcher.toml.
    pub(super) fn table(&self) -> String {
        let (name, variable) = (self.name(), self.variable());
        let scheme = if self.writes_scheme {
            format!("scheme = \"{}\"\nsender = \"{name}\"\n", self.scheme.name)
        } else {
            String::new()
        };
        if !self.has_secret() {
            let key = |(key, meaning): &(String, String)| format!("# {meaning}\n{key} = \"\"\n");
            let keys: String = self.vendor.setup.fill.iter().map(key).collect();
            return format!("[sources.{name}]\n{scheme}{keys}");
        }
        format!("[sources.{name}]\n{scheme}secrets = \"env:{variable}\"\n")
    }

    /// Whether it has a secret, and not keys that the sender publishes.
    pub(super) const fn has_secret(&self) -> bool {
        self.scheme.has_secrets()
    }

    /// The comment and the line for dispatcher.env.
    pub(super) fn line(&self) -> String {
        let (variable, vendor) = (self.variable(), self.vendor.short_name());
        match &self.secret {
            None => format!("# {}.\n{variable}=\n", self.to_copy()),
            Some(secret) if self.is_chosen() => {
                format!("# Give this secret to {vendor}.\n{variable}={}\n", secret.expose())
            }
            Some(secret) => format!(
                "# Give this secret to the sender. If the sender shows you its own secret, write that one here.\n\
                 {variable}={}\n",
                secret.expose()
            ),
        }
    }

    fn is_chosen(&self) -> bool {
        self.vendor.setup.issued_by == Some(IssuedBy::User)
    }

    fn to_copy(&self) -> String {
        let (vendor, setup) = (self.vendor.short_name(), &self.vendor.setup);
        format!("Copy the {} that {vendor} shows you", setup.secret)
    }

    /// What a person enters at the vendor. `kept`: dispatcher.env had a line for the secret.
    pub(super) fn steps(&self, address: &str, kept: bool) -> String {
        let variable = self.variable();
        let mut text = format!("  address  {address}\n");
        match &self.secret {
            _ if !self.has_secret() => {
                for (key, meaning) in &self.vendor.setup.fill {
                    text.push_str(&format!("  fill in  {key}: {meaning}\n"));
                }
                text.push_str(
                    "  secret   none: its requests are verified with keys that it publishes\n",
                );
            }
            _ if kept => text.push_str(&format!("  secret   {variable} as it was in {ENV_FILE}\n")),
            None => text.push_str(&format!(
                "  secret   {} into {ENV_FILE}, after {variable}=\n",
                self.to_copy().replacen('C', "c", 1)
            )),
            Some(secret) => text.push_str(&format!("  secret   {}\n", secret.expose())),
        }
        text.push_str(&self.form());
        if !self.vendor.setup.place.is_empty() {
            text.push_str(&format!("  where    {}\n", self.vendor.setup.place));
        }
        if self.secret.is_some() && !kept && !self.is_chosen() {
            text.push_str(&format!(
                "If the sender shows you its own secret, write that into {ENV_FILE} instead.\n"
            ));
        }
        text
    }

    /// Where a secret that is sent as it is belongs in a request.
    fn form(&self) -> String {
        match &self.scheme.proof {
            Proof::Token(TokenIn::Header(name)) => format!("  sent in  the header {name}\n"),
            Proof::Token(TokenIn::Query(name)) => format!("  sent in  the query, as {name}=\n"),
            Proof::Basic => "  sent as  user and password, with `:` between them\n".to_owned(),
            Proof::Signature(_) | Proof::Jwt(_) | Proof::Sns(_) | Proof::None => String::new(),
        }
    }
}

/// The vendor of that name.
fn known(name: &str) -> Result<&'static Vendor, Failure> {
    if let Some(vendor) = vendors::vendor(name) {
        return Ok(vendor);
    }
    if vendors::scheme(name).is_some() {
        return Err(Failure::usage(format!(
            "`{name}` is a scheme, not a sender: name the sender, or `json` for any that sends JSON"
        )));
    }
    let meant =
        config::near(name, vendors::names()).map(|near| format!("; did you mean `{near}`?"));
    let (name, meant) = (printable(name), meant.unwrap_or_default());
    Err(Failure::usage(format!("unknown sender `{name}`{meant}; {LISTED}")))
}

fn new_secret(scheme: &Scheme) -> Result<Secret, Failure> {
    let mut bytes = [0u8; SECRET_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(format!("cannot generate a secret: {error}")))?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Secret::new(if scheme.proof == Proof::Basic { format!("{USER}:{digits}") } else { digits }))
}
