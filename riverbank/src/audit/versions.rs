//! Versions of rows as they are read from their topic.

use std::collections::{BTreeMap, HashMap};

use broker::Message;
use wire::{Codec, Wire};

/// Versions by the row's id and their number.
pub(super) type Versions<V> = HashMap<i64, BTreeMap<i64, V>>;

/// Keeps a version, or forgets one that was taken back.
pub(super) fn keep<V: Wire>(versions: &mut Versions<V>, message: Message, codec: &Codec) -> anyhow::Result<()> {
    let (id, number) = <(i64, i64)>::decode(message.key.as_deref().unwrap_or_default(), codec)?;
    let of_row = versions.entry(id).or_default();
    match &message.value {
        Some(value) => of_row.insert(number, V::decode(value, codec)?),
        None => of_row.remove(&number),
    };
    if of_row.is_empty() {
        versions.remove(&id);
    }
    Ok(())
}
