//! Finds sources that have a secret of a source whose handshake signs texts for anyone.

use std::ops::Range;

use super::super::problem::Problem;
use super::super::reader::Notes;
use super::Source;

/// A source and its place in the configuration.
pub(super) type Placed = (Range<usize>, Source);

/// Makes each source refuse what the handshake of another one signs with its secret, and warns. If a source's own sender
/// signs nothing else, sharing the secret is an error.
pub(super) fn guard(sources: &mut [Placed], notes: &Notes) {
    // A text that was signed before a handshake was turned off stays signed.
    let asked = |index: &usize| sources[*index].1.has_secret;
    let asked: Vec<usize> = (0..sources.len()).filter(asked).collect();
    for index in asked {
        let (place, asked) = &sources[index];
        let (place, name) = (place.clone(), asked.settings.name.clone());
        let (verifier, is_on) = (asked.settings.verifier.clone(), asked.settings.handshake);
        let (mut others, mut forgeable) = (Vec::new(), None);
        for (_, source) in sources.iter_mut().filter(|(_, source)| source.has_secret) {
            let settings = &mut source.settings;
            if !settings.verifier.is_forged_by(&verifier) {
                continue;
            }
            others.push(settings.name.clone());
            if settings.verifier.expects_tokens() {
                forgeable.get_or_insert(settings.name.clone());
            } else {
                settings.verifier.refuse_tokens();
            }
        }
        let Some(first) = others.first() else { continue };
        let title = match others.len() {
            1 => format!("sources `{name}` and `{first}` share a secret"),
            count => format!("sources `{name}`, `{first}` and {} more share a secret", count - 1),
        };
        let problem =
            if forgeable.is_some() { Problem::error(title) } else { Problem::warning(title) };
        let label = match is_on {
            true => "its handshake signs texts for anyone",
            false => "its handshake, which is turned off now, signs texts for anyone",
        };
        let problem = problem.at(place, label);
        notes.add(match forgeable {
            Some(source) => problem.help(format!(
                "give each source its own secret: with this one anyone could forge requests to `{source}`"
            )),
            None => problem.help(
                "give each source its own secret; until then, all of them refuse such texts: 1 to 128 of A-Z a-z 0-9 _ \
                 and -",
            ),
        });
    }
}
