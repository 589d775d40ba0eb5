//! `limits`: what one client, and all together, may take of the edge; how much is read of the sources at once.

use std::time::Duration;

use jiff::SignedDuration;

use super::duration::show;
use super::fields::{Field, Mapping, Setting};
use super::schema;
use crate::edge::Limits;
use crate::issuer::ReadLimits;

/// Reads `limits`; what is not written keeps its default.
pub(super) fn read(root: &Mapping<'_>) -> Option<(Limits, ReadLimits)> {
    let Some(field) = root.get("limits") else {
        return Some((Limits::default(), ReadLimits::default()));
    };
    let limits = field.mapping(&schema::LIMITS).given()?;
    let reads = reads(&limits);
    Some((of_edge(&limits)?, reads?))
}

fn of_edge(limits: &Mapping<'_>) -> Option<Limits> {
    let usual = Limits::default();
    let time = |name, usual, most| limits.read(name, |field| seconds(field, most)).or(usual);
    let number = |name, usual, range| limits.read(name, |field| field.number(range)).or(usual);
    let count = |name, usual, range| {
        let number = number(name, u32::try_from(usual).ok()?, range)?;
        usize::try_from(number).ok()
    };
    Some(Limits {
        is_max_given: limits.get("maxConnections").is_some(),
        max_connections: count("maxConnections", usual.max_connections, 1..=1_000_000)?,
        connections_per_address: match limits
            .read("connectionsPerAddress", |field| field.number(1..=1_000_000))
        {
            Setting::Given(number) => Some(usize::try_from(number).ok()?),
            Setting::Absent => None,
            Setting::Invalid => return None,
        },
        connection_memory: None,
        handshake_timeout: time("handshakeTimeout", usual.handshake_timeout, 120)?,
        header_timeout: time("headerTimeout", usual.header_timeout, 120)?,
        idle_timeout: time("idleTimeout", usual.idle_timeout, 3600)?,
        write_timeout: time("writeTimeout", usual.write_timeout, 600)?,
        drain_timeout: time("drainTimeout", usual.drain_timeout, 600)?,
        max_header_bytes: count("maxHeaderBytes", usual.max_header_bytes, 8192..=1_048_576)?,
        max_streams: number("maxStreams", usual.max_streams, 1..=10_000)?,
    })
}

/// How much is read of the sources at once.
fn reads(limits: &Mapping<'_>) -> Option<ReadLimits> {
    let usual = ReadLimits::default();
    let Some(field) = limits.get("reads") else {
        return Some(usual);
    };
    let reads = field.mapping(&schema::LIMITS_READS).given()?;
    let at_once = reads.read("atOnce", |field| field.number(4..=100_000));
    let per_second = reads.read("perSecond", |field| field.number(1..=1_000_000));
    Some(ReadLimits {
        at_once: usize::try_from(at_once.or(u32::try_from(usual.at_once).ok()?)?).ok()?,
        per_second: per_second.or(usual.per_second)?,
    })
}

fn seconds(field: &Field<'_>, most: i64) -> Setting<Duration> {
    let (least, most) = (SignedDuration::from_secs(1), SignedDuration::from_secs(most));
    match field.duration() {
        Setting::Given(time) if (least..=most).contains(&time) => Setting::Given(time.unsigned_abs()),
        Setting::Given(time) => field.refuse(format!(
            "is {}, but should be from {} to {}",
            show(time),
            show(least),
            show(most)
        )),
        Setting::Absent => Setting::Absent,
        Setting::Invalid => Setting::Invalid,
    }
}
