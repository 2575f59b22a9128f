//! `dispatcher refused`: requests that were refused, and why.

use std::path::Path;

use clap::builder::NonEmptyStringValueParser;

use super::ask::{self, Ask};
use super::exit::Failure;
use super::out;
use crate::admin::wire::Refusal;

/// List the last 100 refused requests of a source, and why
///
/// Kept in memory since the start. SOURCE `-` shows requests to unknown paths.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RefusedArgs {
    #[command(flatten)]
    ask: Ask,
    /// Only of this source
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    source: Option<String>,
    /// For scripts
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &RefusedArgs, config: Option<&Path>) -> Result<(), Failure> {
    let query = args.source.iter().map(|source| ("source", source.as_str()));
    let path = ask::path("/refused", query);
    let refusals: Vec<Refusal> = args.ask.daemon(config)?.get(&path)?;
    if args.json {
        return out::json(&refusals);
    }
    if refusals.is_empty() {
        out::line("no request was refused since the start");
        return Ok(());
    }
    let head = ["TIME", "SOURCE", "FROM", "STATUS", "REQUEST", "REASON"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(refusals.into_iter().map(|refusal| {
        let Refusal { time, source, from, status, reason, request } = refusal;
        [time, source, from, status.to_string(), request, reason]
    }));
    out::line(&out::table(&rows));
    Ok(())
}
