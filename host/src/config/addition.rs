//! Adds sources to the text of a configuration, and nothing else.

use toml::de::{DeTable, DeValue};

/// Why no source can be added to a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotAdd {
    #[error("its sources are written in a form to which no table can be added")]
    Form,
    #[error("it has a source of this name")]
    Exists,
}

/// The text to append to `old`, which must be valid TOML: a table `[sources.NAME]` for each of `added`, which are names
/// and tables. The result is read again: it differs from `old` in these tables only.
///
/// # Errors
/// See [`CannotAdd`].
pub fn addition(old: &str, added: &[(&str, String)]) -> Result<String, CannotAdd> {
    let mut text = String::new();
    if !old.is_empty() && !old.ends_with('\n') {
        text.push('\n');
    }
    for (_, table) in added {
        text.push_str(&format!("\n{table}"));
    }
    let parse = |text| DeTable::parse(text).map_err(|_| CannotAdd::Form);
    let before = parse(old)?;
    let whole = format!("{old}{text}");
    let sources = sources(before.get_ref());
    if added.iter().any(|(name, _)| sources.is_some_and(|sources| sources.contains_key(*name))) {
        return Err(CannotAdd::Exists);
    }
    let after = parse(&whole)?;
    let names: Vec<&str> = added.iter().map(|(name, _)| *name).collect();
    differs_only_by(before.get_ref(), after.get_ref(), &names)
        .then_some(text)
        .ok_or(CannotAdd::Form)
}

fn sources<'t>(table: &'t DeTable<'t>) -> Option<&'t DeTable<'t>> {
    match table.get("sources")?.get_ref() {
        DeValue::Table(sources) => Some(sources),
        _ => None,
    }
}

fn differs_only_by(before: &DeTable<'_>, after: &DeTable<'_>, added: &[&str]) -> bool {
    let none = DeTable::new();
    let (sources_before, Some(sources_after)) = (sources(before).unwrap_or(&none), sources(after))
    else {
        return false;
    };
    let others = |table: &DeTable<'_>| table.len() - usize::from(table.contains_key("sources"));
    let is_kept = |table: &DeTable<'_>, other: &DeTable<'_>, except: &[&str]| {
        let mut rest = other.iter().filter(|(key, _)| !except.contains(&&**key.get_ref()));
        rest.all(|(key, value)| {
            table.get(&**key.get_ref()).is_some_and(|old| same(old.get_ref(), value.get_ref()))
        })
    };
    others(before) == others(after)
        && sources_before.len() + added.len() == sources_after.len()
        && is_kept(before, after, &["sources"])
        && is_kept(sources_before, sources_after, added)
}

fn same(one: &DeValue<'_>, other: &DeValue<'_>) -> bool {
    match (one, other) {
        (DeValue::Table(one), DeValue::Table(other)) => {
            let mut keys = one.iter();
            let value = |key: &str| other.get(key).map(toml::Spanned::get_ref);
            one.len() == other.len()
                && keys
                    .all(|(key, it)| value(key.get_ref()).is_some_and(|to| same(it.get_ref(), to)))
        }
        (DeValue::Array(one), DeValue::Array(other)) => {
            let mut pairs = one.iter().zip(other.iter());
            one.len() == other.len()
                && pairs.all(|(one, other)| same(one.get_ref(), other.get_ref()))
        }
        (DeValue::String(one), DeValue::String(other)) => one == other,
        (DeValue::Boolean(one), DeValue::Boolean(other)) => one == other,
        (DeValue::Datetime(one), DeValue::Datetime(other)) => one == other,
        (DeValue::Integer(one), DeValue::Integer(other)) => {
            (one.as_str(), one.radix()) == (other.as_str(), other.radix())
        }
        (DeValue::Float(one), DeValue::Float(other)) => one.as_str() == other.as_str(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(old: &str) -> Result<String, CannotAdd> {
        addition(old, &[("b", "[sources.b]\nsecrets = \"env:B\"\n".to_owned())])
            .map(|text| format!("{old}{text}"))
    }

    #[test]
    fn a_table_is_added_behind_every_form_of_a_configuration_that_can_take_one() {
        for old in [
            "",
            "# only a comment",
            "[sources.a]\nsecrets = \"env:A\"",
            "sources.a.secrets = \"env:A\"\n",
            "[targets.t]\nsettings = { path = \"x\" }\n[sources]\na = { secrets = \"env:A\" }\n",
            "[[server.x]]\ny = 1\n\n",
        ] {
            let new = added(old).unwrap();
            assert!(new.starts_with(old), "{new}");
            assert!(new.ends_with("\n[sources.b]\nsecrets = \"env:B\"\n"), "{new}");
        }
    }

    #[test]
    fn a_configuration_that_cannot_take_a_table_is_refused() {
        for (old, expected) in [
            ("sources = { a = { secrets = \"env:A\" } }\n", CannotAdd::Form),
            ("sources = 1\n", CannotAdd::Form),
            ("[sources.b]\npath = \"/x\"\n", CannotAdd::Exists),
            ("sources.b.path = \"/x\"\n", CannotAdd::Exists),
            ("mine", CannotAdd::Form),
        ] {
            assert_eq!(added(old), Err(expected), "{old}");
        }
    }
}
