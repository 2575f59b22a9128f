//! Every mistake of the settings at once.

use crate::Invalid;

/// Collects what is wrong with settings, so that people see all of it in one run of `check`.
///
/// ```
/// # use dispatcher_plugin_api::prelude::*;
/// # struct Checked { name: String, port: u16 }
/// # fn name() -> Result<String, Invalid> { Err(Invalid::at("name", "is empty")) }
/// # fn port() -> Result<u16, Invalid> { Err(Invalid::at("port", "is 0")) }
/// let mut mistakes = Mistakes::default();
/// let (name, port) = (mistakes.keep(name()), mistakes.keep(port()));
/// let checked = name.zip(port).map(|(name, port)| Checked { name, port });
/// assert_eq!(mistakes.finish(checked).err().unwrap().to_string(), "name: is empty; port: is 0");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Mistakes(Vec<Invalid>);

impl Mistakes {
    /// The value; if there is none, its mistake is kept.
    pub fn keep<T>(&mut self, checked: Result<T, Invalid>) -> Option<T> {
        checked.map_err(|invalid| self.add(invalid)).ok()
    }

    /// Adds a mistake.
    pub fn add(&mut self, invalid: Invalid) {
        self.0.push(invalid);
    }

    /// What was made of the settings.
    ///
    /// # Errors
    /// All mistakes.
    pub fn finish<T>(self, made: Option<T>) -> Result<T, Invalid> {
        let mut all = self.0.into_iter();
        match (all.next(), made) {
            (None, Some(made)) => Ok(made),
            (Some(first), _) => Err(all.fold(first, Invalid::and)),
            (None, None) => Err(Invalid::new("the settings are not accepted")),
        }
    }
}
